//! The server, asked over real sockets.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use ullage_core::Bytes;
use ullage_example_server::body::{Handle, Spec};
use ullage_example_server::http::router;

const LIMIT: u64 = 1000;

struct Answer {
    status: u16,
    head: String,
    body: Value,
}

async fn start() -> String {
    let spec = |name: &str, bytes, load_ms| -> Spec {
        (name.to_owned(), Bytes::new(bytes), Duration::from_millis(load_ms))
    };
    let models = [spec("a", 600, 20), spec("b", 600, 20), spec("c", 300, 5), spec("huge", 5000, 0)];
    let pool = Handle::start(Bytes::new(LIMIT), "lru", &models).expect("sound models");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    tokio::spawn(async move { axum::serve(listener, router(pool)).await });
    address
}

async fn open(address: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("it reads");
    stream
}

async fn ask(address: &str, path: &str) -> Answer {
    let mut text = String::new();
    open(address, path).await.read_to_string(&mut text).await.expect("it answers");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { status, head: head.to_lowercase(), body: serde_json::from_str(body).expect("JSON") }
}

async fn row(address: &str, name: &str) -> Value {
    let found = ask(address, "/status").await.body;
    let rows = found["models"].as_array().expect("rows").clone();
    rows.into_iter().find(|row| row["name"] == name).expect("the model")
}

#[tokio::test]
async fn models_come_and_go_under_the_limit() {
    let address = start().await;
    for name in ["a", "b", "c", "a", "c"] {
        let answer = ask(&address, &format!("/models/{name}")).await;
        assert_eq!((answer.status, &answer.body["model"]), (200, &Value::from(name)));
        let booked = ask(&address, "/status").await.body["booked"].as_u64();
        assert!(booked.is_some_and(|booked| booked <= LIMIT), "{booked:?}");
    }
    assert_eq!(row(&address, "a").await["loads"], 2, "b needed its room");
    assert_eq!(row(&address, "c").await["loads"], 1, "it fits beside either");
}

#[tokio::test]
async fn what_is_refused_says_why_in_numbers() {
    let address = start().await;
    let unknown = ask(&address, "/models/nobody").await;
    assert_eq!((unknown.status, &unknown.body["status"]), (404, &Value::from(404)));
    let huge = ask(&address, "/models/huge").await;
    assert_eq!(huge.status, 507);
    assert!(
        huge.head.contains("content-type: application/problem+json") && !huge.head.contains("retry-after")
    );
    assert_eq!((&huge.body["requested"], &huge.body["limit"]), (&Value::from(5000), &Value::from(LIMIT)));

    let holder = tokio::spawn({
        let address = address.clone();
        async move { ask(&address, "/models/a?hold=1.5").await }
    });
    while row(&address, "a").await["leases"] != 1 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let late = ask(&address, "/models/b?timeout=0.05").await;
    assert_eq!((late.status, &late.body["type"]), (503, &Value::from("urn:ullage:problem:timeout")));
    let after = late.head.lines().find_map(|line| line.strip_prefix("retry-after: ")).expect("Retry-After");
    assert!(after.parse::<u32>().is_ok_and(|seconds| seconds >= 1), "{after}");
    assert_eq!(holder.await.expect("it ends").status, 200, "who holds a model keeps it");
    assert_eq!(ask(&address, "/models/b").await.status, 200);
}

#[tokio::test]
async fn who_goes_away_gives_its_place_up() {
    let address = start().await;
    let holding = open(&address, "/models/a?hold=60").await;
    while row(&address, "a").await["leases"] != 1 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let waiting = open(&address, "/models/b?timeout=60").await;
    while row(&address, "b").await["waiting"] != 1 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(waiting);
    while row(&address, "b").await["waiting"] != 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(holding);
    assert_eq!(ask(&address, "/models/b").await.status, 200);
    assert_eq!(row(&address, "a").await["leases"], 0);
}

#[tokio::test]
async fn a_crowd_shares_one_load() {
    let address = start().await;
    let crowd: Vec<_> = (0..24)
        .map(|number| {
            let address = address.clone();
            tokio::spawn(async move { ask(&address, ["/models/a", "/models/c"][number % 2]).await.status })
        })
        .collect();
    for answer in crowd {
        assert_eq!(answer.await.expect("it ends"), 200);
    }
    assert_eq!(
        (row(&address, "a").await["loads"].clone(), row(&address, "c").await["loads"].clone()),
        (1.into(), 1.into())
    );
}

//! `ullage-example-server LIMIT MODEL=BYTES[:SECONDS] ...`, such as `2GB chat=1.2GB:3 embed=300MB draw=1GB:2`.

use std::time::Duration;

use ullage_core::Bytes;
use ullage_core::pool::Event;
use ullage_example_server::body::{Handle, Spec};
use ullage_example_server::http::router;

type Failure = Box<dyn std::error::Error>;

fn spec(text: &str) -> Result<Spec, Failure> {
    let (name, rest) = text.split_once('=').ok_or("a model is NAME=BYTES[:SECONDS]")?;
    let (bytes, seconds) = rest.split_once(':').unwrap_or((rest, "0"));
    let load = Duration::try_from_secs_f64(seconds.parse()?)?;
    Ok((name.to_owned(), bytes.parse()?, load))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let limit: Bytes = words.next().ok_or("LIMIT MODEL=BYTES[:SECONDS] ...")?.parse()?;
    let models = words.map(|word| spec(&word)).collect::<Result<Vec<_>, _>>()?;
    let pool = Handle::start(limit, "value", &models)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let ending = pool.clone();
    let until = async move {
        let _ = tokio::signal::ctrl_c().await;
        ending.happened(Event::Close);
    };
    axum::serve(listener, router(pool)).with_graceful_shutdown(until).await?;
    Ok(())
}

//! HTTP around the pool: what it grants is 200, what it refuses a problem document (RFC 9457).

use std::time::{Duration, Instant};

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use ullage_core::pool::Denial;

use crate::body::Handle;

/// The routes.
pub fn router(pool: Handle) -> Router {
    Router::new().route("/models/{name}", get(model)).route("/status", get(status)).with_state(pool)
}

/// Seconds to wait for a model, and to use it for.
#[derive(Deserialize)]
struct Use {
    timeout: Option<f64>,
    hold: Option<f64>,
}

async fn model(State(pool): State<Handle>, Path(name): Path<String>, Query(wanted): Query<Use>) -> Response {
    let Some(id) = pool.model(&name) else {
        return problem(StatusCode::NOT_FOUND, "unknown-model", &format!("no model {name:?}"), json!({}));
    };
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let began = Instant::now();
    match pool.lease(id, seconds(wanted.timeout.unwrap_or(30.0))).await {
        Ok(lease) => {
            let waited_s = began.elapsed().as_secs_f64();
            tokio::time::sleep(seconds(wanted.hold.unwrap_or(0.0))).await; // the work that the model is for
            Json(json!({"model": name, "bytes": lease.weights.len(), "waited_s": waited_s})).into_response()
        }
        Err(denial) => refused(&name, &denial),
    }
}

/// 507 where no wait helps, 503 with `Retry-After` where time may.
fn refused(name: &str, denial: &Denial) -> Response {
    if let Denial::TooLarge { requested, limit, .. } = denial {
        let numbers = json!({"model": name, "requested": requested.get(), "limit": limit.get()});
        let detail = format!("{name} takes {requested}, and there are {limit}");
        return problem(StatusCode::INSUFFICIENT_STORAGE, denial.name(), &detail, numbers);
    }
    let after_s = denial.retry_after().unwrap_or(Duration::from_secs(1)).as_secs_f64();
    let mut numbers = json!({"model": name, "retry_after_s": after_s});
    if let Denial::Timeout { waited, .. } = denial {
        numbers["waited_s"] = json!(waited.as_secs_f64());
    }
    let detail = format!("{name} cannot be had now: {}", denial.name());
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, denial.name(), &detail, numbers);
    let whole = format!("{:.0}", after_s.ceil().max(1.0)); // the header has no fractions
    response.headers_mut().extend(whole.parse().ok().map(|value| (header::RETRY_AFTER, value)));
    response
}

fn problem(status: StatusCode, kind: &str, detail: &str, mut body: Value) -> Response {
    body["type"] = json!(format!("urn:ullage:problem:{kind}"));
    body["title"] = json!(status.canonical_reason());
    body["status"] = json!(status.as_u16());
    body["detail"] = json!(detail);
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

async fn status(State(pool): State<Handle>) -> Json<Value> {
    let (models, booked) = pool.status().await;
    let row = |row: &ullage_core::pool::ModelStatus| {
        let (booked, waits) = (row.booked.get(), row.waiting);
        json!({"name": row.name, "state": row.state, "leases": row.leases, "waiting": waits, "booked": booked,
            "loads": row.loads, "evictions": row.evictions})
    };
    Json(json!({"booked": booked.get(), "models": models.iter().map(row).collect::<Vec<_>>()}))
}

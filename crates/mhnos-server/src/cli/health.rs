//! `health`: whether the runtime answers, over plain HTTP and over the connection that clients use, and how it is doing.
//!
//! A runtime that listens but cannot answer is worse than none, so both ways are tried for real, within a time.

use std::time::{Duration, Instant};

use mhnos_protocol::Health;
use mhnos_protocol::v2::{Reply, Request, Status};
use mhnos_server::state::{RunningRuntime, StateDirectory};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{Client, unexpected};
use super::failure::{Failure, SUCCESS};
use super::format::{bytes, count, duration, plain};
use super::output;

/// Time for the runtime to answer. A healthy one needs milliseconds.
const ANSWER_TIME: Duration = Duration::from_secs(3);

/// Largest answer that is read.
const ANSWER_BYTES: u64 = 64 << 10;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    #[serde(flatten)]
    health: Health,
    url: String,
    /// Milliseconds from a ping to its answer.
    round_trip: f64,
    runtime: Status,
}

pub(crate) async fn run(state: &StateDirectory, as_json: bool) -> Result<i32, Failure> {
    let runtime = state.runtime()?.ok_or(Failure::NoRuntime)?;
    let health = over_http(&runtime).await?;
    let client = Client::connect(state).await?;
    let asked = Instant::now();
    let report = timeout(ANSWER_TIME, async {
        client.request(Request::Ping).await?;
        let round_trip = asked.elapsed().as_secs_f64() * 1000.0;
        match client.request(Request::Status).await? {
            Reply::Status { status, .. } => {
                Ok(Report { health, url: runtime.url.clone(), round_trip, runtime: status })
            }
            other => Err(unexpected(&other)),
        }
    });
    let report = report.await.unwrap_or_else(|_| Err(silent(&runtime)))?;
    client.close().await;
    if as_json {
        output::json(&report)?;
    } else {
        output::text(&shown(&report))?;
    }
    Ok(SUCCESS)
}

/// Whether a runtime answers at a port of this machine.
pub(crate) async fn answers(port: u16) -> bool {
    let address = format!("127.0.0.1:{port}");
    let answer = timeout(ANSWER_TIME, ask(&address)).await;
    answer.is_ok_and(|answer| answer.is_ok_and(|answer| parse(&answer).is_some()))
}

async fn ask(address: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(address).await?;
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.take(ANSWER_BYTES).read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Asks `/health` as any monitor would.
pub(crate) async fn over_http(runtime: &RunningRuntime) -> Result<Health, Failure> {
    let address = format!("127.0.0.1:{}", runtime.port);
    let answer = match timeout(ANSWER_TIME, ask(&address)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return Err(Failure::NoRuntime);
        }
        Ok(Err(error)) => return Err(Failure::system(format!("ask the runtime at {address}"), &error)),
        Err(_) => return Err(silent(runtime)),
    };
    parse(&answer).ok_or_else(|| {
        let line = answer.lines().next().unwrap_or("nothing");
        Failure::Other(format!(
            "what listens on {address} does not answer as a runtime ({line}): see `mhnos-runtime doctor`"
        ))
    })
}

fn silent(runtime: &RunningRuntime) -> Failure {
    Failure::Other(format!(
        "the runtime (pid {}) listens on port {} but does not answer: end it and start it anew",
        runtime.pid, runtime.port
    ))
}

/// The body of a good answer.
fn parse(answer: &str) -> Option<Health> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?;
    if status != "200" {
        return None;
    }
    serde_json::from_str(body).ok()
}

fn shown(report: &Report) -> String {
    let status = &report.runtime;
    let limits = format!(
        "at most {}, {} of memory each",
        count(status.max_processes as usize, "program", "programs"),
        bytes(status.max_memory)
    );
    let lines = [
        ("status", report.health.status.clone()),
        ("address", status.addresses.join(", ")),
        ("version", status.version.clone()),
        ("pid", status.os_pid.to_string()),
        ("up", duration(Duration::from_secs_f64(report.health.uptime.max(0.0)))),
        ("round trip", format!("{:.1} ms", report.round_trip)),
        ("workspace", status.workspace.clone()),
        ("sandbox", status.sandbox_achieved.clone()),
        (
            "programs",
            format!(
                "{} running, {} started, {} ended on request",
                status.counts.active, status.counts.total_spawned, status.counts.total_killed
            ),
        ),
        ("connections", status.connections.to_string()),
        ("limits", limits),
    ];
    lines.iter().map(|(name, value)| format!("{name:<12} {}\n", plain(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_good_answer_is_understood() {
        let body =
            r#"{"status":"ok","uptime":1.5,"processes":{"totalSpawned":1,"totalKilled":0,"active":1}}"#;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{body}");
        assert_eq!(parse(&answer).map(|health| health.processes.active), Some(1));
        assert_eq!(parse(&format!("HTTP/1.1 503 Busy\r\n\r\n{body}")), None);
        assert_eq!(parse("HTTP/1.1 200 OK\r\n\r\nhello"), None);
        assert_eq!(parse("SSH-2.0-OpenSSH"), None);
    }
}

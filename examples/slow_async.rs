//! An asynchronous service whose slow requests are found in its own trace.
//!
//! ```console
//! $ cargo run --features tracer --example slow_async -- service.trace
//! $ go tool trace -pprof=net service.trace
//! ```
//!
//! Connections are goroutines, requests are tasks, what a request waits for are regions. A pool has
//! one connection to a database: who asks for the report keeps everyone waiting.

use gotrace::tracer::{self, Config, Reason, Task, goroutine, in_region, waiting};
use gotrace::{Details, TaskId, Time, Trace};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[allow(dead_code, reason = "a test calls what this calls")]
fn main() -> Result<()> {
    let path = std::env::args()
        .nth(1)
        .ok_or("where should the trace go?")?;
    let trace = serve()?;
    std::fs::write(&path, &trace)?;
    for request in slowest(&trace, 3)? {
        println!("{request}");
    }
    Ok(())
}

/// Serves some requests; gives the trace of it.
pub fn serve() -> Result<Vec<u8>> {
    tracer::configure(Config::new().with_period(Duration::from_millis(100)))?;
    let trace = tracer::start(Vec::new())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(requests())?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    let writer = trace.stop().subscriber.ok_or("the writer panicked")?;
    Ok(writer.into_inner().ok_or("no trace")?)
}

async fn requests() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let pool = Arc::new(Semaphore::new(1));
    let server = tokio::spawn(goroutine("server", async move {
        while let Ok((stream, _)) = waiting(Reason::NETWORK, listener.accept()).await {
            tokio::spawn(goroutine("connection", connection(stream, pool.clone())));
        }
    }));
    let clients: Vec<_> = (0..8)
        .map(|client| tokio::spawn(goroutine("client", ask(address, client))))
        .collect();
    for client in clients {
        client.await??;
    }
    server.abort();
    Ok(())
}

/// Answers requests, one a line.
async fn connection(stream: TcpStream, pool: Arc<Semaphore>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while let Ok(1..) = waiting(Reason::NETWORK, stream.read_line(&mut line)).await {
        let task = Task::new("request");
        task.instrument(async {
            tracer::log("path", line.trim_end());
            let query = match line.contains("report") {
                true => Duration::from_millis(40),
                false => Duration::from_millis(1),
            };
            let turn = waiting(Reason::SYNC, pool.acquire());
            let turn = in_region("wait for the database", turn).await;
            in_region("query", waiting(Reason::SLEEP, tokio::time::sleep(query))).await;
            drop(turn);
            let answer = stream.write_all(b"200 OK\n");
            in_region("answer", waiting(Reason::NETWORK, answer)).await
        })
        .await
        .ok();
        line.clear();
    }
}

async fn ask(address: std::net::SocketAddr, client: u32) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    for n in 0..5 {
        let path = match (client, n) {
            (3, 2) => "GET /report\n",
            _ => "GET /index\n",
        };
        stream.write_all(path.as_bytes()).await?;
        let mut answer = [0; 7];
        waiting(Reason::NETWORK, stream.read_exact(&mut answer)).await?;
    }
    Ok(())
}

/// A request, and what it did.
#[derive(Default)]
struct Request {
    path: String,
    began: Time,
    took: Duration,
    regions: Vec<(String, Time, Duration)>,
}

/// The slowest requests of a trace, each with its longest region.
pub fn slowest(trace: &[u8], count: usize) -> Result<Vec<String>> {
    let mut requests: HashMap<TaskId, Request> = HashMap::new();
    let trace = Trace::new(trace)?;
    let mut reader = trace.reader();
    while let Some(event) = reader.next()? {
        let time = event.time();
        match event.details() {
            Details::TaskBegin(task) => {
                let request = requests.entry(task.id.unwrap_or(TaskId::BACKGROUND));
                request.or_default().began = time;
            }
            Details::TaskEnd(task) => {
                if let Some(request) = task.id.and_then(|id| requests.get_mut(&id)) {
                    request.took = time - request.began;
                }
            }
            Details::Log(log) => {
                if let Some(request) = log.task.and_then(|id| requests.get_mut(&id)) {
                    request.path = log.message.to_string();
                }
            }
            Details::RegionBegin(region) => {
                if let Some(request) = region.task.and_then(|id| requests.get_mut(&id)) {
                    let region = (region.ty.to_string(), time, Duration::ZERO);
                    request.regions.push(region);
                }
            }
            Details::RegionEnd(region) => {
                let request = region.task.and_then(|id| requests.get_mut(&id));
                if let Some((_, began, took)) = request.and_then(|r| r.regions.last_mut()) {
                    *took = time - *began;
                }
            }
            _ => {}
        }
    }
    let mut requests: Vec<_> = requests.into_values().collect();
    requests.sort_by_key(|request| std::cmp::Reverse(request.took));
    let lines = requests.iter().take(count).map(|request| {
        let longest = request.regions.iter().max_by_key(|(.., took)| *took);
        let (name, _, took) = longest.cloned().unwrap_or_default();
        format!(
            "{}: {:.1?}, of which {name}: {took:.1?}",
            request.path, request.took
        )
    });
    Ok(lines.collect())
}

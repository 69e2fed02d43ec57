//! `nacre console`: the report on this machine's loopback, live and read-only, until Ctrl-C.

mod gate;
mod server;

use std::{
    io::{self, Write, stdout},
    net::Ipv4Addr,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{
        mpsc::{Receiver, channel},
        oneshot,
    },
    time::Instant,
};

use self::{
    gate::Gate,
    server::{Answerers, PageAnswer, Served},
};
use crate::{
    deployment::StackArgument,
    interrupt::until_interrupt,
    output::{explain, failed},
    printable::printable,
    report::{Page, Report, ReportError, Selection, Source, html, read},
};

/// How old the report of a page may be: each reads the table, or its sample.
const REPORT_AGE: Duration = Duration::from_mins(1);

/// How old what is live may be, however many pages ask for it.
const LIVE_AGE: Duration = Duration::from_secs(4);

/// Serve the report to a browser on this machine, live, until Ctrl-C.
///
/// The page also shows how the pass goes on, what waits in the queues, and the newest findings. It is read-only, on loopback, and
/// needs the URL that is printed: nobody else on this machine or in the browser knows its token. A reload reads the table again, at
/// most once a minute; `--sample` bounds what it reads.
///
/// Exit status: 0 when Ctrl-C ended it, 2 for an error.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    stack: StackArgument,
    #[command(flatten)]
    selection: Selection,
    /// The port on 127.0.0.1 [default: one that is free]
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    port: u16,
}

/// Why there is no console.
#[derive(Debug, thiserror::Error)]
enum ConsoleError {
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error("port {0} of 127.0.0.1 cannot be listened to: choose another with --port")]
    Port(u16, #[source] io::Error),
    #[error("the console ended")]
    Server(#[source] io::Error),
    #[error("interrupts cannot be listened to")]
    Interrupts(#[source] io::Error),
    #[error("the result cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    match until_interrupt(Box::pin(serve(arguments)), ConsoleError::Interrupts).await {
        None | Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => failed("console", &error),
    }
}

async fn serve(arguments: Arguments) -> Result<(), ConsoleError> {
    let Arguments { stack, selection, port } = arguments;
    let in_use = |error| ConsoleError::Port(port, error);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(in_use)?;
    let gate = Gate::new(listener.local_addr().map_err(in_use)?.port());
    let source = Source::open(&stack, &selection).await?;
    // What is wrong with the arguments or the credentials is said here, rather than in a browser.
    let first = Box::pin(read(&source, &selection, None)).await?;
    writeln!(stdout(), "{}\nIt is served until Ctrl-C, and read-only.", gate.url())?;
    stdout().flush()?;
    let ((page, pages), (live, lives)) = (channel(1), channel(1));
    let served = server::serve(listener, gate, Answerers { page, live });
    let (served, (), ()) = futures::join!(
        served,
        Box::pin(answer_pages(pages, &source, &selection, first)),
        Box::pin(answer_live(lives, &source, &selection)),
    );
    served.map_err(ConsoleError::Server)
}

/// Answers with the report as a page; it is read again when it is old.
async fn answer_pages(
    mut asked: Receiver<oneshot::Sender<PageAnswer>>,
    source: &Source,
    selection: &Selection,
    first: Report,
) {
    let mut kept = (Instant::now(), first);
    while let Some(to) = asked.recv().await {
        let mut answer = Ok(());
        if kept.0.elapsed() > REPORT_AGE {
            match Box::pin(read(source, selection, None)).await {
                Ok(report) => kept = (Instant::now(), report),
                Err(error) => answer = Err(printable(&explain(&error))),
            }
        }
        let page = Page::new(true);
        // Whoever asked may be gone.
        let _ = to.send(answer.map(|()| Served { policy: page.policy(), body: html(&kept.1, &page) }));
    }
}

/// Answers with what works, waits and failed, and the newest findings.
async fn answer_live(mut asked: Receiver<oneshot::Sender<String>>, source: &Source, selection: &Selection) {
    let mut kept: Option<(Instant, String)> = None;
    while let Some(to) = asked.recv().await {
        if kept.as_ref().is_none_or(|(at, _)| at.elapsed() > LIVE_AGE) {
            let now = Box::pin(source.now(selection)).await;
            let value = now.map_or_else(|error| json!({ "error": printable(&error) }), |now| shown(&json!(now)));
            kept = Some((Instant::now(), value.to_string()));
        }
        let _ = to.send(kept.as_ref().map(|(_, json)| json.clone()).unwrap_or_default());
    }
}

/// The same with texts in which all is seen.
fn shown(value: &Value) -> Value {
    match value {
        Value::String(text) => printable(text).into(),
        Value::Array(all) => all.iter().map(shown).collect(),
        Value::Object(all) => all.iter().map(|(name, value)| (name.clone(), shown(value))).collect(),
        value => value.clone(),
    }
}

//! Concurrent requests over the pipes of one child: each response goes to the request with its id, in any order.
//!
//! An unexpected message ends the child and every pending request.

use std::{
    collections::HashMap,
    io, mem,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nacre_engine_protocol::{
    Command, LineError, MAX_LINE_BYTES, Outcome, Request, Response, parse_line, write_message,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{ChildStdin, ChildStdout},
    runtime::Handle,
    sync::{OwnedSemaphorePermit, mpsc, oneshot, watch},
    time::timeout,
};

use crate::{COMMAND_TIMEOUT, Death, EngineError, process::EngineProcess};

/// A conversation with a child; the child is killed when it ends. Clones are the same conversation.
#[derive(Clone, Debug)]
pub(super) struct Conversation(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    requests: mpsc::UnboundedSender<Vec<u8>>,
    /// Orders the listener to kill the child, with the reason.
    abort: mpsc::UnboundedSender<Death>,
    died: watch::Receiver<Option<(Death, String)>>,
}

#[derive(Debug)]
struct State {
    /// `None` once it is being killed.
    process: Option<EngineProcess>,
    last_id: u64,
    pending: HashMap<u64, Pending>,
}

/// A pending request.
#[derive(Debug)]
struct Pending {
    /// `None` when the caller no longer waits; the response is then ignored.
    requester: Option<oneshot::Sender<Outcome>>,
    /// Held until the child has responded: it is busy until then.
    _slot: Option<OwnedSemaphorePermit>,
}

impl Conversation {
    /// Starts `command` with an empty environment in `directory`, and reads its responses.
    pub(super) fn start(command: tokio::process::Command, directory: &Path) -> io::Result<Self> {
        let (process, (stdin, stdout)) = EngineProcess::start(command, directory)?;
        let (requests, lines) = mpsc::unbounded_channel();
        let (abort, aborts) = mpsc::unbounded_channel();
        let (death, died) = watch::channel(None);
        let state = Mutex::new(State { process: Some(process), last_id: 0, pending: HashMap::new() });
        let conversation = Self(Arc::new(Inner { state, requests, abort, died }));
        tokio::spawn(write_all(stdin, lines));
        tokio::spawn(listen(conversation.clone(), stdout, aborts, death));
        Ok(conversation)
    }

    /// Returns the child's process id while it lives.
    pub(super) fn process_id(&self) -> Option<u32> {
        self.state().process.as_ref()?.id()
    }

    /// Sends a request and returns the outcome, which may be a failure. `slot` is kept until the child has responded, even when this
    /// future is dropped before.
    ///
    /// # Errors
    /// [`EngineError::Dead`].
    pub(super) async fn request(
        &self,
        command: Command,
        slot: Option<OwnedSemaphorePermit>,
        within: Duration,
    ) -> Result<Outcome, EngineError> {
        let is_scan = matches!(command, Command::Scan { .. });
        let (requester, mut response) = oneshot::channel();
        let id = self.send(command, Pending { requester: Some(requester), _slot: slot })?;
        let _waiting = Waiting { conversation: self, id, is_scan };
        match timeout(within, &mut response).await {
            Ok(Ok(outcome)) => return Ok(outcome),
            Ok(Err(_)) => {}
            Err(_) => self.abort(Death::Late(within)),
        }
        Err(self.dead().await)
    }

    /// Kills the child; pending requests fail.
    pub(super) fn abort(&self, cause: Death) {
        self.0.abort.send(cause).ok();
    }

    /// Waits for the end of a child that is being killed.
    pub(super) async fn dead(&self) -> EngineError {
        let mut died = self.0.died.clone();
        let (cause, stderr_tail) = match died.wait_for(Option::is_some).await {
            Ok(death) => death.clone().unwrap_or((Death::Earlier, String::new())),
            Err(_) => (Death::Earlier, String::new()),
        };
        EngineError::Dead { stderr_tail, cause }
    }

    /// Kills the child at once.
    pub(super) fn end(&self) {
        let mut state = self.state();
        drop(state.process.take());
        state.pending.clear();
        self.abort(Death::Earlier);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, command: Command, pending: Pending) -> Result<u64, EngineError> {
        let earlier = || EngineError::Dead { stderr_tail: String::new(), cause: Death::Earlier };
        let mut state = self.state();
        if state.process.is_none() {
            return Err(earlier());
        }
        state.last_id += 1;
        let id = state.last_id;
        let mut line = Vec::new();
        write_message(&mut line, &Request { id, command }).map_err(|_| earlier())?;
        state.pending.insert(id, pending);
        // Under the lock, so that ids go out in their order.
        self.0.requests.send(line).map_err(|_| earlier())?;
        Ok(id)
    }

    /// Delivers a response to its caller.
    fn deliver(&self, Response { id, outcome }: Response) -> Result<(), Death> {
        let pending = self.state().pending.remove(&id).ok_or(Death::OutOfTurn)?;
        if let Some(requester) = pending.requester {
            // The caller may have stopped waiting.
            drop(requester.send(outcome));
        }
        Ok(())
    }

    /// Handles a request that is dropped before its response.
    fn abandon(&self, id: u64, is_scan: bool) {
        match self.state().pending.get_mut(&id) {
            Some(pending) => pending.requester = None,
            None => return,
        }
        match Handle::try_current() {
            Ok(runtime) if is_scan => {
                let conversation = self.clone();
                // The response to the scan comes before the response to this.
                runtime.spawn(async move {
                    conversation.request(Command::Cancel { scan: id }, None, COMMAND_TIMEOUT).await
                });
            }
            // Nothing else can be cancelled.
            _ => {
                let process = self.state().process.take();
                drop(process);
                self.abort(Death::Earlier);
            }
        }
    }
}

/// Guard of a caller that waits for a response.
struct Waiting<'a> {
    conversation: &'a Conversation,
    id: u64,
    is_scan: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.conversation.abandon(self.id, self.is_scan);
    }
}

async fn write_all(mut stdin: ChildStdin, mut lines: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(line) = lines.recv().await {
        // A child that does not read runs into the timeout.
        if stdin.write_all(&line).await.is_err() {
            return;
        }
    }
}

/// Delivers responses until the first error, then ends the child.
async fn listen(
    conversation: Conversation,
    mut responses: BufReader<ChildStdout>,
    mut aborts: mpsc::UnboundedReceiver<Death>,
    death: watch::Sender<Option<(Death, String)>>,
) {
    let cause = tokio::select! {
        biased;
        Some(abort) = aborts.recv() => abort,
        cause = deliver_all(&conversation, &mut responses) => cause,
    };
    let process = conversation.state().process.take();
    let stderr_tail = match process {
        Some(process) => process.end().await,
        None => String::new(),
    };
    death.send_replace(Some((cause, stderr_tail)));
    // Callers event the dropped sender.
    drop(mem::take(&mut conversation.state().pending));
}

async fn deliver_all(conversation: &Conversation, responses: &mut BufReader<ChildStdout>) -> Death {
    let mut line = Vec::new();
    loop {
        line.clear();
        // A compromised child must not fill our memory.
        let read = responses.take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut line).await;
        let response = read.map_err(LineError::Io).and_then(|_| parse_line(&line));
        if let Err(death) = response.map_err(Death::from).and_then(|response| conversation.deliver(response)) {
            return death;
        }
    }
}

//! A definitions mirror on loopback that does to its clients whatever a test wants.
//!
//! It speaks HTTP/1.1 by hand, since no server library would send what is wrong on purpose; one request per connection. It serves a
//! stock freshclam as well, and plays the proxy for `http://` addresses, whose files it then takes for its own.

mod behaviour;
mod reply;
mod tls;

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use tokio::{
    io::AsyncReadExt,
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

pub use behaviour::Behaviour;
use reply::Connection;
use tls::Identity;

use crate::error::{StackError, system};

/// Longest head of a request that is read, in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// A mirror whose behaviour is scripted, file by file, and may change while it runs. It ends, with all its connections, when dropped.
#[derive(Debug)]
pub struct HostileMirror {
    url: String,
    authority: Option<String>,
    script: Arc<Script>,
    server: JoinHandle<()>,
}

/// A request as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The method, such as `GET`.
    pub method: String,
    /// The file, without the leading slash and the query.
    pub path: String,
    /// The query, where there was one.
    pub query: Option<String>,
    /// `Range`.
    pub range: Option<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<String>,
    /// `If-None-Match`.
    pub if_none_match: Option<String>,
    /// All headers, their names in lower case.
    pub headers: BTreeMap<String, String>,
}

/// What the mirror is to do, and what it has seen.
#[derive(Debug, Default)]
struct Script {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, File>,
    requests: Vec<Request>,
    changes: u32,
    bytes_sent: u64,
}

/// A file that the mirror has something to do for.
#[derive(Clone, Debug)]
struct File {
    behaviour: Behaviour,
    modified: DateTime<Utc>,
    /// How often it was requested since the behaviour was set.
    asked: usize,
}

impl HostileMirror {
    /// Starts an empty mirror on a free port.
    ///
    /// # Errors
    /// [`StackError::System`].
    pub async fn start() -> Result<Self, StackError> {
        Self::serve(None).await
    }

    /// Starts an empty mirror that speaks TLS, with a certificate for 127.0.0.1 by an [authority](Self::authority) of its own.
    ///
    /// # Errors
    /// [`StackError::System`] and [`StackError::Call`].
    pub async fn start_tls() -> Result<Self, StackError> {
        Self::serve(Some(Identity::new()?)).await
    }

    async fn serve(identity: Option<Identity>) -> Result<Self, StackError> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(system("opening the mirror's port"))?;
        let address = listener.local_addr().map_err(system("asking for the mirror's port"))?;
        let scheme = if identity.is_some() { "https" } else { "http" };
        let (acceptor, authority) = identity.map(|identity| (identity.acceptor, identity.authority)).unzip();
        let script = Arc::new(Script::default());
        let server = tokio::spawn(accept(listener, acceptor, Arc::clone(&script)));
        Ok(Self { url: format!("{scheme}://{address}"), authority, script, server })
    }

    /// Its address, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate, in PEM, of the authority that a client must trust; none without TLS.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// Sets what a file's requests are answered with from now on. The file counts as modified, a second after any change before.
    pub fn put(&self, path: &str, behaviour: Behaviour) {
        let mut state = self.script.lock();
        state.changes += 1;
        let modified =
            DateTime::UNIX_EPOCH + chrono::Duration::days(20_779) + chrono::Duration::seconds(state.changes.into());
        let file = File { behaviour, modified, asked: 0 };
        state.files.insert(path.trim_start_matches('/').to_owned(), file);
    }

    /// Removes a file; nothing happens when there is none.
    pub fn remove(&self, path: &str) {
        self.script.lock().files.remove(path.trim_start_matches('/'));
    }

    /// Sets a file's `Last-Modified`, in whole seconds; nothing happens when there is no such file.
    pub fn set_last_modified(&self, path: &str, modified: DateTime<Utc>) {
        if let Some(file) = self.script.lock().files.get_mut(path.trim_start_matches('/')) {
            file.modified = modified;
        }
    }

    /// All requests so far, in their order.
    pub fn requests(&self) -> Vec<Request> {
        self.script.lock().requests.clone()
    }

    /// How often a file was requested so far, whatever the answer.
    pub fn requests_for(&self, path: &str) -> usize {
        let path = path.trim_start_matches('/');
        self.script.lock().requests.iter().filter(|request| request.path == path).count()
    }

    /// How many bytes of bodies were given to the operating system so far; a client may have read fewer.
    pub fn bytes_sent(&self) -> u64 {
        self.script.lock().bytes_sent
    }
}

impl Drop for HostileMirror {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Script {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request, and returns what there is for it and how often it was requested before.
    fn take(&self, request: &Request) -> Option<File> {
        let mut state = self.lock();
        state.requests.push(request.clone());
        let file = state.files.get_mut(&request.path)?;
        let now = file.clone();
        file.asked += 1;
        Some(now)
    }

    fn sent(&self, count: usize) {
        self.lock().bytes_sent += u64::try_from(count).unwrap_or(u64::MAX);
    }
}

/// Serves until aborted; the connections are part of it, so they end with it.
async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, script: Arc<Script>) {
    let mut connections = JoinSet::new();
    loop {
        // A connection that could not be accepted is that client's matter.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
        connections.spawn(async move {
            // So is one that breaks.
            let _ = match acceptor {
                None => converse(stream, &script).await,
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => converse(stream, &script).await,
                    Err(error) => Err(error),
                },
            };
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Reads one request and does to its sender what the script says.
async fn converse(mut stream: impl reply::Wire, script: &Script) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > MAX_HEAD_BYTES || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let Some(request) = Request::parse(&String::from_utf8_lossy(&head)) else { return Ok(()) };
    let file = script.take(&request);
    let mut connection = Connection { stream, request: &request, script };
    match file {
        Some(file) if request.method == "GET" => connection.answer(&file.behaviour, file.modified, file.asked).await,
        Some(_) => connection.bare(405, &[]).await,
        None => connection.bare(404, &[]).await,
    }
}

impl Request {
    fn parse(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let (method, target) = lines.next()?.strip_suffix(" HTTP/1.1")?.split_once(' ')?;
        let headers: BTreeMap<_, _> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        // What a proxy is requested has its host in front.
        let target =
            target.strip_prefix("http://").map_or(target, |rest| rest.split_once('/').map_or("", |(_, path)| path));
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let header = |name: &str| headers.get(name).cloned();
        Some(Self {
            method: method.to_owned(),
            path: path.trim_start_matches('/').to_owned(),
            query: query.map(str::to_owned),
            range: header("range"),
            user_agent: header("user-agent"),
            if_modified_since: header("if-modified-since"),
            if_none_match: header("if-none-match"),
            headers,
        })
    }
}

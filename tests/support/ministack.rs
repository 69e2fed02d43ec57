//! One MiniStack process on a free port of loopback.

use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    error::{StackError, last_lines, system},
    supervised::{ProcessInfo, Supervised},
};

/// Not the default one, so that nothing passes by having forgotten to ask for its region.
pub(crate) const REGION: &str = "eu-west-1";
/// MiniStack takes an access key of twelve digits for the root of the account of that number.
pub(crate) const ACCOUNT: &str = "210987654321";

/// Longest wait for MiniStack's first answer; it takes about a second on an idle machine.
const TIME_TO_START: Duration = Duration::from_mins(5);
/// Another process may take the port between our choice and MiniStack's bind.
const ATTEMPTS: u32 = 3;

/// A running MiniStack.
#[derive(Debug)]
pub(crate) struct MiniStack {
    supervised: Supervised,
    cell: PathBuf,
    pub(crate) endpoint: String,
    /// A directory: `ministack.log`, and a log of each function that ran.
    pub(crate) logs: PathBuf,
}

impl MiniStack {
    /// Starts one that keeps all its files under `scratch`, and waits until it answers.
    ///
    /// # Errors
    /// [`StackError::NotUp`], [`StackError::System`].
    pub(crate) async fn start(python: &Path, cell: &Path, scratch: &Path) -> Result<Self, StackError> {
        let (logs, temporary) = (scratch.join("logs"), scratch.join("tmp"));
        for directory in [&logs, &temporary] {
            fs::create_dir_all(directory).map_err(system(format!("making {}", directory.display())))?;
        }
        let log = logs.join("ministack.log");
        for _ in 0..ATTEMPTS {
            let port = free_port().map_err(system("looking for a free port"))?;
            let file = File::create(&log).map_err(system(format!("making {}", log.display())))?;
            let interpreter = python.to_string_lossy();
            let command = [&*interpreter, "-c", concat!(include_str!("cells.py"), "\n", include_str!("launch.py"))];
            let identity = format!("nacre-{}-{port}", std::process::id());
            let environment = environment(port, &identity, cell, &temporary, &logs);
            let supervised = Supervised::start(python, &command, &environment, scratch, file);
            let supervised = supervised.map_err(system("starting MiniStack"))?;
            let mut ministack = Self {
                supervised,
                cell: cell.to_owned(),
                endpoint: format!("http://127.0.0.1:{port}"),
                logs: logs.clone(),
            };
            if ministack.wait_until_up(port, &identity).await {
                return Ok(ministack);
            }
        }
        let said = last_lines(&fs::read(&log).unwrap_or_default());
        Err(StackError::NotUp { log, said })
    }

    async fn wait_until_up(&mut self, port: u16, identity: &str) -> bool {
        let deadline = Instant::now() + TIME_TO_START;
        while Instant::now() < deadline && !self.supervised.has_ended() {
            // Whoever else took the port does not know our name for it.
            let answer = timeout(Duration::from_secs(30), health(port)).await;
            if answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.contains(identity))) {
                return true;
            }
            sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// Everything that MiniStack and its functions run, MiniStack included.
    pub(crate) fn processes(&self) -> Vec<ProcessInfo> {
        self.supervised.descendants()
    }

    /// Stops MiniStack, its functions and all that they started.
    ///
    /// # Errors
    /// [`StackError::LeftRunning`].
    pub(crate) async fn stop(mut self) -> Result<(), StackError> {
        let stopped = tokio::task::spawn_blocking(move || self.supervised.stop()).await;
        // Cells that were killed leave their control groups, without which none is left to clean up after them.
        let swept = tokio::process::Command::new(self.cell).arg("--sweep").status().await;
        swept.map_err(system("removing control groups"))?;
        if matches!(stopped, Ok(Ok(()))) { Ok(()) } else { Err(StackError::LeftRunning) }
    }
}

/// MiniStack's environment, and all that its functions inherit: nothing of ours, above all no credentials and no proxy.
fn environment(port: u16, identity: &str, cell: &Path, temporary: &Path, logs: &Path) -> Vec<(&'static str, String)> {
    // Programs are looked up where ours are.
    let path =
        env::var_os("PATH").map_or_else(|| "/usr/bin:/bin".to_owned(), |path| path.to_string_lossy().into_owned());
    let (temporary, logs) = (temporary.to_string_lossy().into_owned(), logs.to_string_lossy().into_owned());
    let cell = cell.to_string_lossy().into_owned();
    let settings = [
        // Evaluates policies, gives functions their roles' credentials.
        ("AUTH", "true"),
        ("BIND_HOST", "127.0.0.1"),
        ("MINISTACK_HOST", "127.0.0.1"),
        ("MINISTACK_REGION", REGION),
        ("MINISTACK_ACCOUNT_ID", ACCOUNT),
        // Shown by its health page, which distinguishes ours from another.
        ("MINISTACK_EDITION", identity),
        // Listeners that nothing of ours talks to.
        ("IOT_MTLS_ENABLED", "0"),
        ("SFTP_ENABLED", "0"),
        // It would otherwise go and clean up a Docker that happens to run here.
        ("DOCKER_HOST", "unix:///nonexistent/docker.sock"),
        ("PYTHONUNBUFFERED", "1"),
        ("LANG", "C.UTF-8"),
        // Packages are unpacked here; functions inherit it.
        ("TMPDIR", &temporary),
        ("HOME", &temporary),
        ("FUNCTION_LOGS", &logs),
        ("LAMBDA_CELL", &cell),
        ("PATH", &path),
    ];
    let settings = settings.map(|(name, value)| (name, value.to_owned()));
    let port = [
        ("GATEWAY_PORT", port.to_string()),
        // The SDK in a function would otherwise resolve bucket names as hosts, which no name server knows.
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
    ];
    settings.into_iter().chain(port).collect()
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The health page, headers and all.
async fn health(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    stream.write_all(b"GET /_ministack/health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(1 << 20).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

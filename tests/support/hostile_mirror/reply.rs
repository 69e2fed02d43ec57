//! Doing to a client what the script says.

use std::{future::pending, io, time::Duration};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};
use tokio_rustls::server::TlsStream;

use super::{Behaviour, Request, Script};
use crate::mirror::{RequestedRange, parse_range};

/// Where even endless files end.
const ENDLESS_BYTES: u64 = 8 << 30;

/// What a slow loris promises.
const LORIS_BYTES: u64 = 1 << 20;

/// How long a slow loris rests between two bytes.
const LORIS_REST: Duration = Duration::from_millis(200);

/// How much is sent at once.
const PIECE_BYTES: usize = 64 << 10;

/// A connection, plain or TLS.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {
    /// Makes the connection end by a reset once it is dropped.
    fn reset(&self) -> io::Result<()>;
}

impl Wire for TcpStream {
    fn reset(&self) -> io::Result<()> {
        self.set_zero_linger()
    }
}

impl Wire for TlsStream<TcpStream> {
    fn reset(&self) -> io::Result<()> {
        self.get_ref().0.set_zero_linger()
    }
}

/// A connection whose request is read.
pub(super) struct Connection<'a, Stream> {
    pub(super) stream: Stream,
    pub(super) request: &'a Request,
    pub(super) script: &'a Script,
}

impl<Stream: Wire> Connection<'_, Stream> {
    /// Answers the request, the one after so many.
    pub(super) async fn answer(
        &mut self,
        behaviour: &Behaviour,
        modified: DateTime<Utc>,
        asked: usize,
    ) -> io::Result<()> {
        let mut behaviour = behaviour;
        loop {
            behaviour = match behaviour {
                Behaviour::Sequence(steps) => match steps.get(asked).or(steps.last()) {
                    Some(step) => step,
                    None => return self.bare(404, &[]).await,
                },
                Behaviour::Advertised { header, .. } if self.request.range.is_some() => {
                    return self.file(header, modified).await;
                }
                Behaviour::Advertised { served, .. } => served,
                Behaviour::ForAgent { prefix, served } => {
                    let agent = self.request.user_agent.as_deref().unwrap_or_default();
                    if !agent.starts_with(prefix) {
                        return self.bare(403, &[]).await;
                    }
                    served
                }
                _ => break,
            };
        }
        match behaviour {
            Behaviour::Bytes(bytes) => self.file(bytes, modified).await,
            Behaviour::WithoutRanges(bytes) => {
                self.head(200, &[("Content-Length", &bytes.len().to_string())]).await?;
                self.body(bytes).await
            }
            Behaviour::Part { bytes, content_range } => {
                let length = bytes.len().to_string();
                self.head(206, &[("Content-Length", &length), ("Content-Range", content_range)]).await?;
                self.body(bytes).await
            }
            Behaviour::Status { code, headers } => {
                let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                self.bare(*code, &headers).await
            }
            Behaviour::Truncated(bytes) => {
                self.head(200, &[("Content-Length", &bytes.len().to_string())]).await?;
                self.body(bytes.get(..bytes.len() / 2).unwrap_or_default()).await
            }
            Behaviour::LyingLength { bytes, announced } => {
                self.head(200, &[("Content-Length", &announced.to_string())]).await?;
                self.body(bytes).await
            }
            Behaviour::Endless => self.endless().await,
            Behaviour::SlowLoris => self.slow_loris().await,
            Behaviour::Redirect(address) => self.bare(302, &[("Location", address)]).await,
            Behaviour::RedirectLoop => {
                let itself = format!("/{}", self.request.path);
                self.bare(302, &[("Location", &itself)]).await
            }
            Behaviour::Silence => pending().await,
            Behaviour::Reset => self.stream.reset(),
            // Resolved above.
            Behaviour::Sequence(_) | Behaviour::Advertised { .. } | Behaviour::ForAgent { .. } => {
                self.bare(500, &[]).await
            }
        }
    }

    /// Answers without a body.
    pub(super) async fn bare(&mut self, code: u16, headers: &[(&str, &str)]) -> io::Result<()> {
        let mut headers = headers.to_vec();
        if code != 304 {
            headers.push(("Content-Length", "0"));
        }
        self.head(code, &headers).await?;
        self.body(&[]).await
    }

    /// Serves a file as a good mirror does.
    async fn file(&mut self, bytes: &[u8], modified: DateTime<Utc>) -> io::Result<()> {
        let etag = format!("\"{}\"", hex::encode(Sha256::digest(bytes).get(..8).unwrap_or_default()));
        let modified_text = modified.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let validators = [("ETag", etag.as_str()), ("Last-Modified", &modified_text), ("Accept-Ranges", "bytes")];
        if self.client_has(&etag, modified) {
            return self.bare(304, &validators).await;
        }
        let size = bytes.len();
        let (code, part, range) = match self.request.range.as_deref().map(|range| parse_range(range, size)) {
            None | Some(RequestedRange::Whole) => (200, Some(bytes), None),
            Some(RequestedRange::Part(first, last)) => {
                (206, bytes.get(first..=last), Some(format!("bytes {first}-{last}/{size}")))
            }
            Some(RequestedRange::Beyond) => (416, None, Some(format!("bytes */{size}"))),
        };
        let part = part.unwrap_or_default();
        let length = part.len().to_string();
        let mut headers = validators.to_vec();
        headers.push(("Content-Length", &length));
        headers.extend(range.as_deref().map(|range| ("Content-Range", range)));
        self.head(code, &headers).await?;
        self.body(part).await
    }

    /// Whether a condition says that the client has the file; the entity tag decides where there is one, by RFC 9110.
    fn client_has(&self, etag: &str, modified: DateTime<Utc>) -> bool {
        if let Some(tags) = &self.request.if_none_match {
            return tags.split(',').any(|tag| tag.trim() == etag || tag.trim() == "*");
        }
        let since = self.request.if_modified_since.as_deref();
        since.and_then(|date| DateTime::parse_from_rfc2822(date).ok()).is_some_and(|since| modified <= since)
    }

    async fn endless(&mut self) -> io::Result<()> {
        self.head(200, &[("Transfer-Encoding", "chunked")]).await?;
        let zeros = vec![0; PIECE_BYTES];
        let mut sent = 0;
        while sent < ENDLESS_BYTES {
            self.stream.write_all(format!("{PIECE_BYTES:x}\r\n").as_bytes()).await?;
            self.piece(&zeros).await?;
            self.stream.write_all(b"\r\n").await?;
            sent += u64::try_from(PIECE_BYTES).unwrap_or(u64::MAX);
        }
        self.stream.write_all(b"0\r\n\r\n").await?;
        self.stream.shutdown().await
    }

    async fn slow_loris(&mut self) -> io::Result<()> {
        self.head(200, &[("Content-Length", &LORIS_BYTES.to_string())]).await?;
        for _ in 0..LORIS_BYTES {
            self.piece(&[0]).await?;
            self.stream.flush().await?;
            sleep(LORIS_REST).await;
        }
        self.stream.shutdown().await
    }

    async fn head(&mut self, code: u16, headers: &[(&str, &str)]) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {code} Scripted\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        self.stream.write_all(head.as_bytes()).await
    }

    /// Sends all there is, and ends the connection in good order.
    async fn body(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(PIECE_BYTES) {
            self.piece(piece).await?;
        }
        self.stream.shutdown().await
    }

    async fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.script.sent(bytes.len());
        Ok(())
    }
}

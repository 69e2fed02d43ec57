//! The console over HTTP.

use std::{io, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{
        HeaderName, HeaderValue, Response, StatusCode,
        header::{
            ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
            X_FRAME_OPTIONS,
        },
        uri::Authority,
    },
};
use tokio::{
    net::TcpListener,
    sync::{mpsc::Sender, oneshot},
};

use super::gate::{Gate, Refused, Wanted};

/// A page and what it may do.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) policy: String,
    pub(super) body: String,
}

/// A page, or why there is none.
pub(super) type PageAnswer = Result<Served, String>;

/// Where requests are answered: one after the other, however many come.
#[derive(Debug)]
pub(super) struct Answerers {
    pub(super) page: Sender<oneshot::Sender<PageAnswer>>,
    /// JSON.
    pub(super) live: Sender<oneshot::Sender<String>>,
}

/// Asks one of them; `None` when the console is ending.
async fn ask<T>(answerer: &Sender<oneshot::Sender<T>>) -> Option<T> {
    let (to, answer) = oneshot::channel();
    answerer.send(to).await.ok()?;
    answer.await.ok()
}

/// What every response says: nothing is kept, framed, guessed at, or passed on with the token. There is no header of CORS: no other
/// site's script reads any of it.
const HEADERS: [(HeaderName, &str); 6] = [
    (CACHE_CONTROL, "no-store"),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// Serves it, and returns only when that failed.
pub(super) async fn serve(listener: TcpListener, gate: Gate, answerers: Answerers) -> io::Result<()> {
    let state = Arc::new((gate, answerers));
    axum::serve(listener, Router::new().fallback(respond).with_state(state)).await
}

async fn respond(State(state): State<Arc<(Gate, Answerers)>>, request: Request) -> Response<Body> {
    let (gate, answerers) = &*state;
    let named = request.headers().get_all(HOST).iter().map(|host| host.to_str().unwrap_or_default());
    let hosts: Vec<&str> = named.chain(request.uri().authority().map(Authority::as_str)).collect();
    let (status, kind, policy, body) = match gate.admit(request.method().as_str(), hosts, request.uri().path()) {
        Ok(Wanted::Page) => {
            match ask(&answerers.page).await.unwrap_or_else(|| Err("The console is ending.\n".into())) {
                Ok(Served { policy, body }) => {
                    (StatusCode::OK, "text/html; charset=utf-8", format!("{policy}; frame-ancestors 'none'"), body)
                }
                Err(why) => (StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", NOTHING.to_owned(), why),
            }
        }
        Ok(Wanted::Live) => {
            let json = ask(&answerers.live).await.unwrap_or_else(|| r#"{"error":"the console is ending"}"#.into());
            (StatusCode::OK, "application/json", NOTHING.to_owned(), json)
        }
        Err(why) => {
            let (status, sentence) = match why {
                Refused::Host => (StatusCode::FORBIDDEN, "This is not the address that `nacre console` printed.\n"),
                Refused::Absent => (StatusCode::NOT_FOUND, "Use the URL that `nacre console` printed.\n"),
                Refused::Method => (StatusCode::METHOD_NOT_ALLOWED, "The console only reads: GET or HEAD.\n"),
            };
            (status, "text/plain; charset=utf-8", NOTHING.to_owned(), sentence.to_owned())
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.extend(HeaderValue::try_from(policy).map(|policy| (CONTENT_SECURITY_POLICY, policy)));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::mpsc::channel,
    };

    use super::*;

    /// Answers with a fixed page.
    fn answerers() -> Answerers {
        let (page, mut pages) = channel(1);
        let (live, mut lives) = channel(1);
        tokio::spawn(async move {
            while let Some(to) = pages.recv().await {
                let to: oneshot::Sender<PageAnswer> = to;
                let policy = "default-src 'none'; script-src 'nonce-n'".to_owned();
                let _ = to.send(Ok(Served { policy, body: "<p>page</p>".into() }));
            }
        });
        tokio::spawn(async move {
            while let Some(to) = lives.recv().await {
                let to: oneshot::Sender<String> = to;
                let _ = to.send("{}".into());
            }
        });
        Answerers { page, live }
    }

    async fn request(port: u16, head: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.unwrap();
        String::from_utf8(response).unwrap()
    }

    #[tokio::test]
    async fn whatever_is_asked_nothing_is_given_to_another_site() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let gate = Gate::new(port);
        let url = gate.url();
        let path = url.split_once(&port.to_string()).unwrap().1;
        let server = tokio::spawn(serve(listener, gate, answerers()));
        let host = format!("host: 127.0.0.1:{port}");
        let cases = [
            (format!("GET {path} HTTP/1.1\r\n{host}"), "200", "<p>page</p>"),
            (format!("GET {path}live.json HTTP/1.1\r\n{host}"), "200", "{}"),
            (format!("HEAD {path} HTTP/1.1\r\n{host}"), "200", ""),
            (format!("POST {path} HTTP/1.1\r\n{host}\r\ncontent-length: 0"), "405", "only reads"),
            (format!("OPTIONS {path} HTTP/1.1\r\n{host}\r\norigin: http://evil.example"), "405", "only reads"),
            (format!("GET / HTTP/1.1\r\n{host}"), "404", "Use the URL"),
            (format!("GET {path} HTTP/1.1\r\nhost: evil.example:{port}"), "403", "not the address"),
            (format!("GET http://evil.example{path} HTTP/1.1\r\n{host}"), "403", "not the address"),
        ];
        for (head, status, body) in cases {
            let response = request(port, &head).await;
            let lower = response.to_lowercase();
            assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {response}");
            assert!(response.split_once("\r\n\r\n").unwrap().1.contains(body), "{head}: {response}");
            for header in
                ["content-security-policy: default-src 'none'", "frame-ancestors 'none'", "no-store", "nosniff"]
            {
                assert!(lower.contains(header), "{head}: {header}: {response}");
            }
            assert!(!lower.contains("access-control-") && !lower.contains("set-cookie"), "{response}");
        }
        server.abort();
    }
}

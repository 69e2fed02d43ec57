//! The look-up, against a server that the test itself runs.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record, rdata::TXT},
};
use tokio::{net::UdpSocket, task::JoinHandle};

use super::*;

const ZONE: &str = "current.cvd.clamav.test";
const RECORD: &str = "1.4.6:62:27780:1615408140:0:216:0:336";

/// What the server does with a query.
#[derive(Clone, Debug)]
enum Reply {
    /// One TXT record for each list of strings.
    Records(Vec<Vec<String>>),
    Code(ResponseCode),
    Nothing,
    /// The query's id, and then no message.
    Garbage,
    /// Bytes that are not even an answer to us.
    Noise,
}

struct Server {
    address: SocketAddr,
    queries: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(reply: Reply) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let queries = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&queries);
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                if let Some(answer) = answer(&buffer[..length], &reply) {
                    socket.send_to(&answer, client).await.unwrap();
                }
            }
        });
        Self { address, queries, task }
    }

    /// Looks up, and waits as long as a busy machine may take.
    async fn look_up(&self) -> Result<DnsRecord, DnsError> {
        self.look_up_within(Duration::from_mins(5)).await
    }

    async fn look_up_within(&self, timeout: Duration) -> Result<DnsRecord, DnsError> {
        Dns::new(ZONE, Some(self.address)).unwrap().with_timeout(timeout).look_up().await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(query: &[u8], reply: &Reply) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).unwrap();
    assert_eq!(query.queries[0].name().to_ascii(), format!("{ZONE}."));
    let mut message = query.clone().into_response();
    match reply {
        Reply::Nothing => return None,
        Reply::Noise => return Some(b"noise".to_vec()),
        Reply::Garbage => return Some([&query.id.to_be_bytes()[..], &[0xff; 30]].concat()),
        Reply::Code(code) => message.metadata.response_code = *code,
        Reply::Records(records) => {
            for strings in records {
                let data = RData::TXT(TXT::new(strings.clone()));
                message.add_answer(Record::from_rdata(query.queries[0].name().clone(), 300, data));
            }
        }
    }
    Some(message.to_vec().unwrap())
}

fn records(records: &[&[&str]]) -> Reply {
    Reply::Records(records.iter().map(|strings| strings.iter().map(|&text| text.to_owned()).collect()).collect())
}

#[tokio::test]
async fn the_record_comes_with_one_query() {
    let server = Server::start(records(&[&[RECORD]])).await;
    assert_eq!(server.look_up().await.unwrap(), DnsRecord::parse(RECORD).unwrap());
    assert_eq!(server.queries.load(Ordering::SeqCst), 1);
    // Nothing is kept: what was true a quarter of an hour ago is no news.
    server.look_up().await.unwrap();
    assert_eq!(server.queries.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn only_the_first_string_counts() {
    for reply in [records(&[&[RECORD, "more"]]), records(&[&[RECORD], &["1:1:1:1"]])] {
        let server = Server::start(reply).await;
        assert_eq!(server.look_up().await.unwrap(), DnsRecord::parse(RECORD).unwrap());
    }
}

#[tokio::test]
async fn a_missing_record_and_a_failing_server_are_different_errors() {
    for none in [Reply::Code(ResponseCode::NXDomain), Reply::Code(ResponseCode::NoError)] {
        let server = Server::start(none.clone()).await;
        let error = server.look_up().await.unwrap_err();
        assert!(matches!(error, DnsError::NoRecord { .. }), "{none:?}: {error:?}");
        assert_eq!(server.queries.load(Ordering::SeqCst), 1);
    }
    for trouble in [Reply::Code(ResponseCode::ServFail), Reply::Code(ResponseCode::Refused), Reply::Garbage] {
        let server = Server::start(trouble.clone()).await;
        let error = server.look_up().await.unwrap_err();
        assert!(matches!(error, DnsError::LookUp { .. }), "{trouble:?}: {error:?}");
        assert_eq!(server.queries.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn silence_and_noise_end() {
    for silence in [Reply::Nothing, Reply::Noise] {
        let server = Server::start(silence.clone()).await;
        let error = server.look_up_within(Duration::from_secs(1)).await.unwrap_err();
        assert!(matches!(error, DnsError::TimedOut { .. }), "{silence:?}: {error:?}");
        assert!(server.queries.load(Ordering::SeqCst) >= 2);
    }
}

#[tokio::test]
async fn a_record_of_another_form_is_refused() {
    for form in ["v=spf1 -all", ""] {
        let server = Server::start(records(&[&[form]])).await;
        let error = server.look_up().await.unwrap_err();
        assert!(matches!(error, DnsError::Record { .. }), "{form}: {error:?}");
    }
}

#[test]
fn what_is_no_name_is_no_zone() {
    for zone in ["two..dots", &"a".repeat(64)] {
        assert!(matches!(Dns::new(zone, None), Err(DnsError::Zone { .. })), "{zone}");
    }
}

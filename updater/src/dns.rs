//! What `ClamAV` publishes in the DNS: one TXT record with the newest version of each database.
//!
//! It costs the mirrors nothing, so it is asked first; a record that is missing, broken or old only means that the mirror itself must be
//! asked.
//!
//! Source: freshclam 1.4, `dnsquery` and `fc_dns_query_update_info`.

use std::{net::SocketAddr, time::Duration};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::{
        ProtoError,
        rr::{Name, RData},
    },
    system_conf::read_system_conf,
};
use tokio::time::timeout;

pub use nacre_clamav::dns_record::{DnsRecord, DnsRecordError};

/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How often the servers are asked.
const ATTEMPTS: u32 = 2;

/// Resolves the record of a zone. It keeps nothing between queries: neither responses nor connections.
#[derive(Clone, Debug)]
pub struct Dns {
    name: Name,
    servers: Vec<NameServerConfig>,
    timeout: Duration,
}

/// Why the DNS query failed. The mirror's own files still show its versions.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The zone is not a domain name.
    #[error("{zone} is not a domain name")]
    Zone {
        /// The zone.
        zone: String,
        /// Why.
        #[source]
        source: ProtoError,
    },
    /// The system does not say which servers to ask (`/etc/resolv.conf`).
    #[error("the system has no usable DNS configuration")]
    SystemConfiguration(#[source] NetError),
    /// There is no such record.
    #[error("{zone} has no TXT record")]
    NoRecord {
        /// The zone.
        zone: String,
    },
    /// No server answered in time.
    #[error("the record of {zone} did not come in time")]
    TimedOut {
        /// The zone.
        zone: String,
    },
    /// The servers cannot be reached, refuse the query, or their response is not DNS.
    #[error("the record of {zone} could not be looked up")]
    LookUp {
        /// The zone.
        zone: String,
        /// Why.
        #[source]
        source: NetError,
    },
    /// There is a record, of another form.
    #[error("the record of {zone} is not of the known form")]
    Record {
        /// The zone.
        zone: String,
        /// Why.
        #[source]
        source: DnsRecordError,
    },
}

impl Dns {
    /// The record of a zone, such as `current.cvd.clamav.net`, asked of one server or of those that the system names.
    ///
    /// # Errors
    /// [`DnsError::Zone`] and [`DnsError::SystemConfiguration`].
    pub fn new(zone: &str, server: Option<SocketAddr>) -> Result<Self, DnsError> {
        let mut name = Name::from_ascii(zone).map_err(|source| DnsError::Zone { zone: zone.to_owned(), source })?;
        // It is the whole name: the system's search domains are not for it.
        name.set_fqdn(true);
        let servers = match server {
            Some(address) => vec![server_at(address)],
            None => read_system_conf().map_err(DnsError::SystemConfiguration)?.0.name_servers().to_vec(),
        };
        Ok(Self { name, servers, timeout: TIMEOUT })
    }

    /// Gives each attempt this long instead of 5 s.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Resolves the record, in at most 2 attempts of 5 s.
    ///
    /// Of several TXT records the first is taken, and of several strings in it the first, as freshclam does.
    ///
    /// # Errors
    /// [`DnsError`].
    pub async fn look_up(&self) -> Result<DnsRecord, DnsError> {
        let zone = self.name.to_ascii().trim_end_matches('.').to_owned();
        let text = match timeout(self.timeout.saturating_mul(ATTEMPTS), self.ask()).await {
            Err(_) | Ok(Err(NetError::Timeout)) => return Err(DnsError::TimedOut { zone }),
            Ok(Err(source)) if source.is_no_records_found() => return Err(DnsError::NoRecord { zone }),
            Ok(Err(source)) => return Err(DnsError::LookUp { zone, source }),
            Ok(Ok(None)) => return Err(DnsError::NoRecord { zone }),
            Ok(Ok(Some(text))) => text,
        };
        DnsRecord::parse(&text).map_err(|source| DnsError::Record { zone, source })
    }

    async fn ask(&self) -> Result<Option<String>, NetError> {
        let config = ResolverConfig::from_parts(None, Vec::new(), self.servers.clone());
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.timeout = self.timeout;
        // hickory counts the repetitions.
        options.attempts = usize::try_from(ATTEMPTS - 1).unwrap_or_default();
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        // A plain query: the response fits the 512 bytes that any server and firewall passes.
        options.edns0 = false;
        let response = builder.build()?.txt_lookup(self.name.clone()).await?;
        let first = response.answers().iter().find_map(|record| match &record.data {
            RData::TXT(text) => text.txt_data.first(),
            _ => None,
        });
        Ok(first.map(|text| String::from_utf8_lossy(text).into_owned()))
    }
}

/// One server, queried by UDP, and by TCP when its response does not fit.
fn server_at(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

#[cfg(test)]
mod tests;

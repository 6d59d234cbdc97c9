//! `--discovery-srv`: endpoints from DNS SRV records, as etcd documents them for clients.

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use std::time::Duration;
use thiserror::Error;
use tokio::time::timeout;

use crate::model::Endpoint;
use crate::model::text::printable;

/// Why discovery gave no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DiscoveryError {
    /// The resolver of this host cannot be set up.
    #[error(
        "--discovery-srv: this host's resolver cannot be used: {reason}; name the members with --endpoints"
    )]
    Resolver {
        /// Why.
        reason: String,
    },
    /// Neither record exists.
    #[error("--discovery-srv {}: no SRV record {} or {}: {}; create one, or name the members with --endpoints",
        printable(.domain), printable(&.asked[0]), printable(&.asked[1]), printable(.reason))]
    NoRecord {
        /// The domain that was given.
        domain: String,
        /// The two names that were asked for.
        asked: [String; 2],
        /// The resolver's words.
        reason: String,
    },
}

/// The names that are asked for: the TLS service first, as etcdctl does. `service_name` is
/// `--discovery-srv-name`.
fn names(domain: &str, service_name: Option<&str>) -> [String; 2] {
    let suffix = service_name.filter(|n| !n.is_empty()).map_or_else(String::new, |n| format!("-{n}"));
    let domain = domain.trim_end_matches('.');
    [format!("_etcd-client-ssl{suffix}._tcp.{domain}."), format!("_etcd-client{suffix}._tcp.{domain}.")]
}

/// Looks the endpoints of `domain` up: https for those of `_etcd-client-ssl`, http for those of
/// `_etcd-client`, in the order of their priority.
///
/// # Errors
/// When the resolver cannot be set up, or neither record exists or is answered within `limit`.
pub async fn discover(
    domain: &str,
    service_name: Option<&str>,
    limit: Duration,
) -> Result<Vec<Endpoint>, DiscoveryError> {
    let resolver = TokioResolver::builder_tokio()
        .and_then(hickory_resolver::ResolverBuilder::build)
        .map_err(|e| DiscoveryError::Resolver { reason: e.to_string() })?;
    ask(&resolver, domain, service_name, limit).await
}

async fn ask(
    resolver: &TokioResolver,
    domain: &str,
    service_name: Option<&str>,
    limit: Duration,
) -> Result<Vec<Endpoint>, DiscoveryError> {
    let asked = names(domain, service_name);
    let mut found = Vec::new();
    let mut reason = String::from("it has no target");
    for (name, scheme) in asked.iter().zip(["https", "http"]) {
        match timeout(limit, resolver.srv_lookup(name.as_str())).await {
            Ok(Ok(reply)) => {
                let mut targets: Vec<_> = reply
                    .answers()
                    .iter()
                    .filter_map(|r| match &r.data {
                        RData::SRV(srv) => Some((srv.priority, srv.target.to_utf8(), srv.port)),
                        _ => None,
                    })
                    .collect();
                targets.sort();
                found.extend(targets.iter().filter_map(|(_, host, port)| {
                    Endpoint::parse(&format!("{scheme}://{}:{port}", host.trim_end_matches('.'))).ok()
                }));
            }
            // The library's words for it show its own types.
            Ok(Err(e)) if e.is_no_records_found() => reason = "there is no such record".into(),
            Ok(Err(e)) => reason = e.to_string(),
            Err(_) => reason = "no answer from the resolver".into(),
        }
    }
    if found.is_empty() {
        return Err(DiscoveryError::NoRecord { domain: domain.to_owned(), asked, reason });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
    use hickory_resolver::proto::rr::rdata::SRV;
    use hickory_resolver::proto::rr::{Name, Record};
    use tokio::net::UdpSocket;

    use super::*;

    #[test]
    fn the_names_are_those_that_etcd_documents() {
        assert_eq!(
            names("example.com.", None),
            ["_etcd-client-ssl._tcp.example.com.", "_etcd-client._tcp.example.com."]
        );
        assert_eq!(names("example.com", Some("a"))[0], "_etcd-client-ssl-a._tcp.example.com.");
    }

    /// A name server on loopback that knows one record set, and a resolver that asks it.
    async fn resolver(known: &'static str, targets: &'static [(u16, &'static str, u16)]) -> TokioResolver {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut bytes = [0; 2048];
            while let Ok((n, from)) = socket.recv_from(&mut bytes).await {
                let question = Message::from_vec(&bytes[..n]).unwrap();
                let query = question.queries[0].clone();
                let is_known = query.name().to_string() == known;
                let code = if is_known { ResponseCode::NoError } else { ResponseCode::NXDomain };
                let mut reply = Message::error_msg(question.metadata.id, OpCode::Query, code);
                reply.add_query(query.clone());
                for (priority, host, port) in targets.iter().filter(|_| is_known) {
                    let target = Name::from_ascii(host).unwrap();
                    let srv = RData::SRV(SRV::new(*priority, 0, *port, target));
                    reply.add_answer(Record::from_rdata(query.name().clone(), 60, srv));
                }
                socket.send_to(&reply.to_vec().unwrap(), from).await.unwrap();
            }
        });
        let mut udp = ConnectionConfig::udp();
        udp.port = port;
        let server = NameServerConfig::new(IpAddr::V4(Ipv4Addr::LOCALHOST), true, vec![udp]);
        let config = ResolverConfig::from_parts(None, vec![], vec![server]);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build().unwrap()
    }

    #[tokio::test]
    async fn records_become_endpoints_in_the_order_of_their_priority() {
        let targets = &[(20, "m2.example.com.", 2379), (10, "m1.example.com.", 12379)];
        let resolver = resolver("_etcd-client-ssl._tcp.example.com.", targets).await;
        let found = ask(&resolver, "example.com", None, Duration::from_secs(10)).await.unwrap();
        let found: Vec<_> = found.iter().map(Endpoint::raw).collect();
        assert_eq!(found, ["https://m1.example.com:12379", "https://m2.example.com:2379"]);
    }

    #[tokio::test]
    async fn plain_records_become_http_endpoints() {
        let resolver = resolver("_etcd-client-a._tcp.example.com.", &[(1, "m1.example.com.", 2379)]).await;
        let found = ask(&resolver, "example.com.", Some("a"), Duration::from_secs(10)).await.unwrap();
        assert_eq!(found[0].raw(), "http://m1.example.com:2379");
    }

    #[tokio::test]
    async fn no_record_names_both_that_were_asked_for_and_the_remedy() {
        let resolver = resolver("nothing.", &[]).await;
        let said =
            ask(&resolver, "example.com", None, Duration::from_secs(10)).await.unwrap_err().to_string();
        for word in ["_etcd-client-ssl._tcp.example.com.", "_etcd-client._tcp.example.com.", "--endpoints"] {
            assert!(said.contains(word), "{said}");
        }
    }
}

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
    use super::*;

    #[test]
    fn the_names_are_those_that_etcd_documents() {
        assert_eq!(
            names("example.com.", None),
            ["_etcd-client-ssl._tcp.example.com.", "_etcd-client._tcp.example.com."]
        );
        assert_eq!(names("example.com", Some("a"))[0], "_etcd-client-ssl-a._tcp.example.com.");
    }
}

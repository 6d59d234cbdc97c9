//! A client endpoint of a member, as typed or as advertised.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use url::{Host, Url};

use super::text::printable;

/// The port that etcd serves clients on when nothing else is said.
pub const DEFAULT_CLIENT_PORT: u16 = 2379;

/// Where a member serves clients. Shown as it was typed, compared by scheme, host and port.
#[derive(Clone, Debug)]
pub struct Endpoint {
    shown: String,
    transport: Transport,
    address: Address,
}

/// How bytes travel to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// No scheme was typed: TLS if TLS was configured, plain otherwise, as etcdctl decides.
    Unsaid,
    /// `http://` or `unix://`.
    Plain,
    /// `https://` or `unixs://`.
    Tls,
}

/// What an endpoint points at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host name or address (IPv6 without brackets) and a port.
    Tcp {
        /// Host name, IPv4 or IPv6 address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// A unix socket's path.
    Unix(String),
}

/// Why a text is no endpoint. The message names the text, the reason and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("endpoint \"{}\": {}", printable(.text), self.advice())]
pub struct EndpointError {
    /// What was typed.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl EndpointError {
    /// The reason and the remedy, without the text.
    #[must_use]
    pub fn advice(&self) -> String {
        format!("{}; write it as host:port, http://host:port or https://host:port", self.reason)
    }
}

impl Endpoint {
    /// Reads one endpoint. A missing port is 2379 (etcdctl leaves it out of the URL and fails).
    ///
    /// # Errors
    /// When the text is empty, has an unknown scheme, no host, a bad port, or more than host and port.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let text = text.trim();
        let fail = |reason: &str| EndpointError { text: text.to_owned(), reason: reason.to_owned() };
        if text.is_empty() {
            return Err(fail("it is empty"));
        }
        for (scheme, transport) in
            [("unix://", Transport::Plain), ("unixs://", Transport::Tls), ("unix:", Transport::Plain)]
        {
            if let Some(path) = text.strip_prefix(scheme) {
                if path.is_empty() {
                    return Err(fail("the socket's path is missing"));
                }
                return Ok(Self {
                    shown: text.to_owned(),
                    transport,
                    address: Address::Unix(path.to_owned()),
                });
            }
        }
        let (transport, url) = if let Some((scheme, _)) = text.split_once("://") {
            let transport = match scheme {
                "http" => Transport::Plain,
                "https" => Transport::Tls,
                other => return Err(fail(&format!("unknown scheme {:?}", printable(other)))),
            };
            (transport, Url::parse(text))
        } else {
            (Transport::Unsaid, Url::parse(&format!("http://{text}")))
        };
        let url = url.map_err(|e| fail(&e.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            // The text is left out of the error: it may hold a password.
            let host = url.host_str().unwrap_or_default();
            let reason = "user and password do not belong here; use --user and the prompt, or password_file";
            return Err(EndpointError { text: format!("***@{host}"), reason: reason.to_owned() });
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(fail("it has a path or a query; an endpoint is host and port alone"));
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            None => return Err(fail("the host is missing")),
        };
        // Url drops a port that is its scheme's default: an explicit :80 or :443 has to be looked for.
        let typed_default = match transport {
            Transport::Tls if text.trim_end_matches('/').ends_with(":443") => Some(443),
            Transport::Plain | Transport::Unsaid if text.trim_end_matches('/').ends_with(":80") => Some(80),
            _ => None,
        };
        let port = url.port().or(typed_default).unwrap_or(DEFAULT_CLIENT_PORT);
        if port == 0 {
            return Err(fail("port 0 is no port"));
        }
        Ok(Self { shown: text.to_owned(), transport, address: Address::Tcp { host, port } })
    }

    /// Reads a comma-separated list, as `--endpoints` takes it. Empty parts are dropped.
    ///
    /// # Errors
    /// The first part that is no endpoint.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, EndpointError> {
        text.split(',').filter(|part| !part.trim().is_empty()).map(Self::parse).collect()
    }

    /// What was said about TLS.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// Where it leads.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The host name or address; the path of a unix socket.
    #[must_use]
    pub fn host(&self) -> &str {
        match &self.address {
            Address::Tcp { host, .. } => host,
            Address::Unix(path) => path,
        }
    }

    /// Whether it leads to the host alone on which it is used.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match &self.address {
            Address::Unix(_) => true,
            Address::Tcp { host, .. } => {
                host.eq_ignore_ascii_case("localhost")
                    || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
        }
    }

    /// The text as it was typed or advertised.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.shown
    }

    /// Whether both lead to the same address; the spelling and the scheme do not matter.
    #[must_use]
    pub fn same_address(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address && self.transport == other.transport
    }
}

impl Eq for Endpoint {}

impl std::hash::Hash for Endpoint {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.address.hash(state);
        self.transport.hash(state);
    }
}

/// As typed, escaped.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&printable(&self.shown))
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.shown)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_people_type() {
        for (text, host, port, transport) in [
            ("10.0.0.1:2379", "10.0.0.1", 2379, Transport::Unsaid),
            ("localhost", "localhost", 2379, Transport::Unsaid),
            ("http://m1:2379", "m1", 2379, Transport::Plain),
            ("https://m1", "m1", 2379, Transport::Tls),
            ("https://m1:443", "m1", 443, Transport::Tls),
            ("http://m1:80/", "m1", 80, Transport::Plain),
            (" https://[fd00::1]:2379/ ", "fd00::1", 2379, Transport::Tls),
        ] {
            let e = Endpoint::parse(text).unwrap();
            assert_eq!(e.address(), &Address::Tcp { host: host.into(), port }, "{text}");
            assert_eq!(e.transport(), transport, "{text}");
        }
    }

    #[test]
    fn what_is_refused_names_text_reason_and_remedy() {
        for (text, reason) in [
            ("", "empty"),
            ("ftp://m1:2379", "scheme"),
            ("http://", "host"),
            ("m1:99999", "port"),
            ("m1:0", "port 0"),
            ("http://m1:2379/v3", "path"),
            ("http://root:pw@m1:2379", "--user"),
            ("m 1:2379", "invalid"),
            ("unix://", "path"),
        ] {
            let e = Endpoint::parse(text).unwrap_err().to_string();
            assert!(e.contains(reason), "{text:?}: {e}");
            assert!(e.contains("host:port"), "{e}");
            let secret = text.contains("pw@");
            assert!(if secret { !e.contains("pw@") } else { e.contains(text) }, "{e}");
        }
    }

    #[test]
    fn lists_skip_empty_parts() {
        assert_eq!(Endpoint::parse_list("a:1, b:2,,").unwrap().len(), 2);
    }

    #[test]
    fn spelling_does_not_make_two_of_one() {
        let a = Endpoint::parse("https://M1:2379/").unwrap();
        let b = Endpoint::parse("https://m1").unwrap();
        assert_eq!(a, b);
        assert!(a.same_address(&Endpoint::parse("m1").unwrap()));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = Endpoint::parse(&text);
        }
    }
}

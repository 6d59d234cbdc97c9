//! Certificates of every kind, good and bad, as PEM files.

use std::path::{Path, PathBuf};

use etcdtop::lab::Tls;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// A folder of certificates.
pub struct Certs {
    pub dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Certs {
    /// A fresh authority in `ca.pem`.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap();
        std::fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
        Self { dir, issuer: Issuer::new(params, key) }
    }

    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// What members of a cluster need for TLS both ways on this host, and a pair that their clients can use.
    pub fn both_ways(&self) -> (Tls, Pair) {
        let pair = self.issue("server", &["localhost", "127.0.0.1"], 2099);
        let (cert, key) = (pair.cert.clone(), pair.key.clone());
        (Tls { ca: self.ca(), cert, key, client_auth: true, own: Vec::new() }, pair)
    }

    /// A certificate for names, valid until `not_after` (year).
    pub fn issue(&self, file: &str, names: &[&str], not_after: i32) -> Pair {
        self.issue_with(file, names, |params| params.not_after = rcgen::date_time_ymd(not_after, 1, 1))
    }

    /// A certificate for names, valid for so long.
    pub fn issue_for(&self, file: &str, names: &[&str], valid: std::time::Duration) -> Pair {
        self.issue_with(file, names, |params| {
            params.not_after = (std::time::SystemTime::now() + valid).into();
        })
    }

    fn issue_with(&self, file: &str, names: &[&str], until: impl FnOnce(&mut CertificateParams)) -> Pair {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        until(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let at = |suffix: &str| self.dir.path().join(format!("{file}{suffix}"));
        write(&at(".pem"), &cert.pem());
        write(&at("-key.pem"), &key.serialize_pem());
        Pair { cert: at(".pem"), key: at("-key.pem") }
    }
}

fn write(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A TLS server that shows a certificate.
pub fn acceptor(pair: &Pair) -> tokio_rustls::TlsAcceptor {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = vec![CertificateDer::from_pem_file(&pair.cert).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    std::sync::Arc::new(config).into()
}

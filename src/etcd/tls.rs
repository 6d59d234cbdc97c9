//! TLS as rustls sees it, and as an operator reads it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error as RustlsError,
    InvalidMessage, RootCertStore, SignatureScheme,
};
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::access::{Access, TlsFiles};
use crate::model::ForeignText;
use crate::model::member::PeerCertificate;

/// Why TLS cannot be set up from the files that were named.
#[derive(Debug, Error)]
pub enum TlsSetupError {
    /// A file cannot be read.
    #[error("cannot read {what} {}: {reason}", path.display())]
    Unreadable {
        /// Which: `--cacert`, `--cert` or `--key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file does not hold what it should.
    #[error("{what} {} holds no {expected} in PEM form: {reason}", path.display())]
    NotPem {
        /// Which: `--cacert`, `--cert` or `--key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What was looked for.
        expected: &'static str,
        /// Why.
        reason: String,
    },
    /// Certificate without key, or the other way round.
    #[error("{given} is given without {missing}: a client certificate needs both")]
    Half {
        /// What was given.
        given: &'static str,
        /// What was not.
        missing: &'static str,
    },
    /// Certificate and key are no pair.
    #[error("--cert {} and --key {} do not belong together: {reason}", cert.display(), key.display())]
    NoPair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        reason: String,
    },
    /// No root to trust.
    #[error("no certificate authority is known: name one with --cacert ({reason})")]
    NoRoots {
        /// What the system said.
        reason: String,
    },
}

/// The client configurations for gRPC (h2) and for plain HTTP (`/metrics`).
#[derive(Clone)]
pub(super) struct TlsConfigs {
    pub(super) h2: Arc<ClientConfig>,
    pub(super) http1: Arc<ClientConfig>,
}

impl TlsConfigs {
    /// Reads the files of `access` and makes the configurations.
    pub(super) fn load(access: &Access) -> Result<Self, TlsSetupError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| TlsSetupError::NoRoots { reason: e.to_string() })?;
        let builder = if access.insecure_skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
        } else {
            builder.with_root_certificates(roots(&access.tls)?)
        };
        let mut config = match identity(&access.tls)? {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|e| {
                let key = access.tls.key.clone().unwrap_or_default();
                match e {
                    RustlsError::InconsistentKeys(_) => TlsSetupError::NoPair {
                        cert: access.tls.cert.clone().unwrap_or_default(),
                        key,
                        reason: e.to_string(),
                    },
                    e => TlsSetupError::NotPem {
                        what: "--key",
                        path: key,
                        expected: "key of a kind that can be used",
                        reason: e.to_string(),
                    },
                }
            })?,
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let mut http1 = config.clone();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { h2: Arc::new(config), http1: Arc::new(http1) })
    }

    /// A configuration that trusts everybody and shows nothing of ours: only for finding out whether the
    /// other side speaks TLS at all.
    pub(super) fn probe() -> Option<Arc<ClientConfig>> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .ok()?;
        let config = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
            .with_no_client_auth();
        Some(Arc::new(config))
    }
}

/// When the files were written last.
type Stamp = [Option<SystemTime>; 3];

fn stamp(files: &TlsFiles) -> Stamp {
    let written = |path: &Option<PathBuf>| std::fs::metadata(path.as_ref()?).ok()?.modified().ok();
    [&files.cacert, &files.cert, &files.key].map(written)
}

/// Configurations that follow the files: a renewed certificate is shown from the next connection on.
#[derive(Clone, Default)]
pub(super) struct FollowedTls(Arc<Mutex<Option<(Stamp, TlsConfigs)>>>);

impl FollowedTls {
    /// What the files hold now. A renewal that is not whole yet leaves the last good ones in use.
    ///
    /// # Errors
    /// Why they cannot be used, as long as they never could.
    pub(super) fn current(&self, access: &Access) -> Result<TlsConfigs, TlsSetupError> {
        let now = stamp(&access.tls);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, configs)) = kept.as_ref().filter(|(then, _)| *then == now) {
            return Ok(configs.clone());
        }
        match (TlsConfigs::load(access), kept.as_ref()) {
            (Ok(configs), _) => {
                *kept = Some((now, configs.clone()));
                Ok(configs)
            }
            (Err(e), Some((_, configs))) => {
                tracing::warn!("the certificates changed and cannot be used, the last ones stay: {e}");
                Ok(configs.clone())
            }
            (Err(e), None) => Err(e),
        }
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsSetupError> {
    std::fs::read(path).map_err(|e| TlsSetupError::Unreadable {
        what,
        path: path.to_owned(),
        reason: e.to_string(),
    })
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let pem = read(what, path)?;
    let not_pem = |reason: String| TlsSetupError::NotPem {
        what,
        path: path.to_owned(),
        expected: "certificate",
        reason,
    };
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|e| not_pem(e.to_string()))?;
    if found.is_empty() { Err(not_pem("no CERTIFICATE block in it".into())) } else { Ok(found) }
}

fn roots(files: &TlsFiles) -> Result<RootCertStore, TlsSetupError> {
    let mut store = RootCertStore::empty();
    if let Some(path) = &files.cacert {
        // One that cannot be used does not spoil the others of a bundle, as in Go.
        let (added, _) = store.add_parsable_certificates(certificates("--cacert", path)?);
        if added == 0 {
            return Err(TlsSetupError::NotPem {
                what: "--cacert",
                path: path.clone(),
                expected: "usable certificate",
                reason: "none of those in it can be an authority".into(),
            });
        }
        return Ok(store);
    }
    let native = rustls_native_certs::load_native_certs();
    let (added, _) = store.add_parsable_certificates(native.certs);
    if added == 0 {
        let reason = native.errors.first().map_or("the system has none".into(), ToString::to_string);
        return Err(TlsSetupError::NoRoots { reason });
    }
    Ok(store)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(files: &TlsFiles) -> Result<Option<Identity>, TlsSetupError> {
    match (&files.cert, &files.key) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(TlsSetupError::Half { given: "--cert", missing: "--key" }),
        (None, Some(_)) => Err(TlsSetupError::Half { given: "--key", missing: "--cert" }),
        (Some(cert), Some(key)) => {
            let chain = certificates("--cert", cert)?;
            let pem = read("--key", key)?;
            let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|e| TlsSetupError::NotPem {
                what: "--key",
                path: key.clone(),
                expected: "private key",
                reason: e.to_string(),
            })?;
            Ok(Some((chain, key)))
        }
    }
}

/// What the server showed of itself.
pub(super) fn describe(certificate: &CertificateDer<'_>) -> Option<PeerCertificate> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let not_after = jiff::Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()?;
    Some(PeerCertificate { subject: ForeignText::new(parsed.subject().to_string()), not_after })
}

/// A TLS failure in an operator's words, with the remedy.
pub(super) fn explain(error: &RustlsError, expected_name: &str) -> String {
    match error {
        RustlsError::InvalidCertificate(reason) => explain_certificate(reason, expected_name),
        RustlsError::AlertReceived(alert) => explain_alert(*alert),
        RustlsError::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS on this port: write http://".into()
        }
        RustlsError::NoApplicationProtocol => {
            "the server does not offer HTTP/2 (ALPN h2), so it is no etcd client port".into()
        }
        other => format!("TLS failed: {other}"),
    }
}

fn explain_certificate(reason: &CertificateError, expected_name: &str) -> String {
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            let when = match reason {
                CertificateError::ExpiredContext { not_after, .. } => i64::try_from(not_after.as_secs())
                    .ok()
                    .and_then(|s| jiff::Timestamp::from_second(s).ok())
                    .map_or_else(String::new, |t| format!(" on {}", t.strftime("%Y-%m-%d"))),
                _ => String::new(),
            };
            format!("the server's certificate expired{when}: renew it")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: check the clocks".into()
        }
        CertificateError::UnknownIssuer => {
            "the server's certificate is signed by an authority that is not trusted here: name the right one with --cacert".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the server's certificate is not for {expected_name}: use the name it is for, or --server-name")
        }
        // Clusters made by one tool have authorities of one name, each with its own key.
        CertificateError::BadSignature => {
            "the server's certificate is signed by another authority of the same name: name the right one with --cacert".into()
        }
        CertificateError::Revoked => "the server's certificate was revoked".into(),
        other => format!("the server's certificate is not accepted: {other:?}"),
    }
}

fn explain_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            "the server demands a client certificate: name one with --cert and --key".into()
        }
        // Go's TLS 1.2 server answers a missing client certificate with bad_certificate.
        AlertDescription::BadCertificate | AlertDescription::UnknownCA => {
            "the server does not accept our client certificate: missing, or not signed by its --trusted-ca-file (--cert and --key)".into()
        }
        AlertDescription::CertificateExpired => "the server says that our client certificate expired".into(),
        other => format!("the server refused the TLS handshake: {other:?}"),
    }
}

/// `--insecure-skip-tls-verify`: any certificate is accepted; signatures of the handshake are still
/// checked, so that the peer holds the key of the certificate that it shows.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn renewed_files_are_used_and_a_broken_renewal_is_not() {
        let dir = tempfile::TempDir::new().unwrap();
        let file = dir.path().join("ca.crt");
        let mut second = 0;
        let mut write = |text: &str| {
            std::fs::write(&file, text).unwrap();
            // Within the resolution of file times a test writes twice.
            second += 10;
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(second);
            File::options().write(true).open(&file).unwrap().set_modified(at).unwrap();
        };
        let issue = || rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem();
        let tls = TlsFiles { cacert: Some(file.clone()), ..TlsFiles::default() };
        let access = Access { tls, ..Access::default() };
        let followed = FollowedTls::default();
        write(&issue());
        let first = followed.current(&access).unwrap();
        assert!(Arc::ptr_eq(&first.h2, &followed.current(&access).unwrap().h2), "unchanged");
        write(&issue());
        let renewed = followed.current(&access).unwrap();
        assert!(!Arc::ptr_eq(&first.h2, &renewed.h2), "renewed");
        write("half a fi");
        assert!(Arc::ptr_eq(&renewed.h2, &followed.current(&access).unwrap().h2), "the last good ones");
        assert!(FollowedTls::default().current(&access).is_err());
    }
}

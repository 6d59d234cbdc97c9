//! Certificates of a lab with TLS: an authority of its own, and one certificate a member that can be made anew, expired or
//! valid.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// The authority and the folder that everything lies in.
pub(super) struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its key is shown to nobody.
        f.debug_struct("Authority").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Authority {
    /// A fresh one.
    pub(super) fn new(folder: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "etcdtop lab");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).map_err(io::Error::other)?;
        write(&folder.join("ca.pem"), &cert.pem())?;
        Ok(Self { folder, issuer: Issuer::new(params, key) })
    }

    /// The authority's certificate.
    pub(super) fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A member's certificate and its key, in the place where etcd looks for them at every handshake.
    pub(super) fn place(&self, member: &str) -> (PathBuf, PathBuf) {
        (self.folder.join(format!("{member}.pem")), self.folder.join(format!("{member}-key.pem")))
    }

    /// Makes a member's certificate anew: valid for ten years, or ended in 2024.
    pub(super) fn issue(&self, member: &str, valid: bool) -> io::Result<()> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
        params.distinguished_name.push(DnType::CommonName, member);
        // etcd's gateway dials itself with it.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        let tenth_year = i32::from(jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).year()) + 10;
        params.not_after = rcgen::date_time_ymd(if valid { tenth_year } else { 2024 }, 1, 1);
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let cert = params.signed_by(&key, &self.issuer).map_err(io::Error::other)?;
        let (cert_file, key_file) = self.place(member);
        write(&key_file, &key.serialize_pem())?;
        write(&cert_file, &cert.pem())
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

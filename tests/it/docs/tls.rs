//! The messages of `docs/tls.md`: each is brought about.

use std::path::{Path, PathBuf};

use etcdtop::lab::Spec;

use super::page;
use crate::cli::{Output, run, run_blocking};
use crate::support::certs::{Certs, acceptor};
use crate::support::cluster::TestCluster;

/// The messages of the table.
fn messages() -> Vec<String> {
    let text = page("tls.md");
    let at = text.find("| message |").unwrap();
    let rows = text[at..].lines().take_while(|l| l.starts_with('|')).skip(2);
    rows.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect()
}

/// The certificate of an authority that has another name; those of `Certs` are all called alike.
fn authority(folder: &Path, name: &str) -> PathBuf {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    let file = folder.join("another.pem");
    std::fs::write(&file, certificate.pem()).unwrap();
    file
}

/// A server whose certificate expired; etcd itself would not come up with it: its own gateway does not trust it either.
async fn expired(certs: &Certs) -> Output {
    let pair = certs.issue("expired", &["127.0.0.1"], 2021);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let acceptor = acceptor(&pair);
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    let ca = certs.ca().display().to_string();
    let output = run_blocking(&["status", "--endpoints", &endpoint, "--cacert", &ca]).await;
    task.abort();
    output
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_of_the_page_was_seen() {
    let certs = Certs::new();
    let (tls, server) = certs.both_ways();
    let spec = Spec { members: 1, version: Some("3.6".into()), tls: Some(tls), ..Spec::default() };
    let cluster = TestCluster::start(spec).await;
    let https = cluster.endpoints_text();
    let address = https.trim_start_matches("https://");
    let other = Certs::new();
    let old = certs.issue("old-client", &["x"], 2021);
    let path = |p: &Path| p.display().to_string();
    let (ca, cert, key) = (path(&certs.ca()), path(&server.cert), path(&server.key));
    let plain = TestCluster::start(Spec { members: 1, version: Some("3.6".into()), ..Spec::default() }).await;
    let as_tls = plain.endpoints_text().replace("http://", "https://");
    let foreign = path(&authority(certs.dir.path(), "another"));
    let own = ["--cert", &*cert, "--key", &*key];
    let status = |args: &[&str]| {
        let mut all = vec!["status", "--endpoints"];
        all.extend_from_slice(args);
        run(&all)
    };
    let (http, wrong) = (format!("http://{address}"), path(&other.ca()));
    let stranger = other.issue("stranger", &["x"], 2099);
    let (strange_cert, strange_key) = (path(&stranger.cert), path(&stranger.key));
    let (old_cert, old_key) = (path(&old.cert), path(&old.key));
    let ended = [
        status(&[&http]),
        status(&[&as_tls, "--insecure-skip-tls-verify"]),
        status(&[&https, "--cacert", &foreign]),
        status(&[&[&*https, "--cacert", &wrong][..], &own].concat()),
        status(&[&[&*https, "--cacert", &ca, "--server-name", "elsewhere"][..], &own].concat()),
        expired(&certs).await,
        status(&[&https, "--cacert", &ca]),
        status(&[&https, "--cacert", &ca, "--cert", &strange_cert, "--key", &strange_key]),
        status(&[&https, "--cacert", &ca, "--cert", &old_cert, "--key", &old_key]),
        status(&[&https, "--cacert", &ca, "--cert", &cert, "--key", &old_key]),
        status(&[&https, "--cacert", &ca, "--cert", &cert]),
    ];
    let messages = messages();
    assert_eq!(messages.len(), ended.len());
    for (message, output) in messages.iter().zip(&ended) {
        assert!(output.all().contains(message), "{message:?} is not said: {}", output.all());
        let usage = message.contains("belong together") || message.contains("stands alone");
        assert_eq!(output.code, if usage { 2 } else { 4 }, "{}", output.all());
    }
}

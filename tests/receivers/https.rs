//! HTTPS: whom we trust, and on whose word.

use std::path::PathBuf;
use std::sync::Arc;

use foghorn::edge::senders::Senders;
use foghorn::model::{Outcome, WallTime};
use foghorn::notify::SecretRef;
use foghorn::notify::config::{Integration, Kind, Receiver, WebhookConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::samples;

/// A server for `localhost` with a certificate of its own, and the file that vouches for it.
async fn server() -> (u16, PathBuf, tempfile::TempDir) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = rustls_pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .expect("a server");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut request = vec![0; 64 * 1024];
                let _ = stream.read(&mut request).await?;
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await?;
                stream.shutdown().await
            });
        }
    });
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, certified.cert.pem()).expect("a file");
    (port, ca_file, folder)
}

async fn send(port: u16, change: impl FnOnce(&mut WebhookConfig)) -> Outcome {
    let mut config = WebhookConfig::new(SecretRef::given(format!("https://localhost:{port}/hook")));
    change(&mut config);
    let integrations = vec![Integration::new(Kind::Webhook(config))];
    let senders = Senders::new(&[Receiver { name: "hook".into(), integrations }], |_| None);
    let senders = senders.unwrap_or_else(|errors| panic!("{:?}", errors[0].cause));
    senders.send("hook", samples::delivery(samples::firing(), 1, None), WallTime(0)).await
}

#[tokio::test]
async fn a_certificate_needs_somebody_to_vouch_for_it() {
    let (port, ca_file, _folder) = server().await;
    let delivered = Outcome::Delivered { thread: None };
    assert_eq!(send(port, |config| config.http.ca_file = Some(ca_file)).await, delivered);
    assert_eq!(send(port, |config| config.http.insecure_skip_verify = true).await, delivered);
    match send(port, |_| {}).await {
        Outcome::Retry { reason, .. } => assert!(reason.contains("UnknownIssuer"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

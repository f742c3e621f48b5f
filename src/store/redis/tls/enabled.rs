//! TLS by rustls, with Mozilla's roots and those the application adds, or without verification for URLs with
//! `#insecure`.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    StreamOwned,
};

use super::super::socket::Socket;

/// The trusted certificates.
#[derive(Clone)]
pub(in super::super) struct TlsConfig {
    roots: RootCertStore,
    /// Built from `roots` whenever they change, because building one for each connection would parse them each time.
    verified: Arc<ClientConfig>,
    unverified: Arc<ClientConfig>,
}

impl Default for TlsConfig {
    fn default() -> TlsConfig {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        TlsConfig { verified: config(Some(&roots)), unverified: config(None), roots }
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig").field("roots", &self.roots.len()).finish()
    }
}

impl TlsConfig {
    /// Adds the certificates in `pem`. The error says what is wrong with them.
    pub(in super::super) fn add(&mut self, pem: &str) -> Result<(), String> {
        let mut added = 0;
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            self.roots.add(certificate).map_err(|error| error.to_string())?;
            added += 1;
        }
        if added == 0 {
            return Err("it holds no certificate".into());
        }
        self.verified = config(Some(&self.roots));
        Ok(())
    }

    pub(in super::super) fn stream(&self, host: &str, insecure: bool, socket: Socket) -> io::Result<TlsStream> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let config = if insecure { &self.unverified } else { &self.verified };
        let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        Ok(TlsStream(Box::new(StreamOwned::new(connection, socket))))
    }
}

#[derive(Debug)]
pub(in super::super) struct TlsStream(Box<StreamOwned<ClientConnection, Socket>>);

impl TlsStream {
    pub(in super::super) fn socket(&mut self) -> &mut Socket {
        &mut self.0.sock
    }
}

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for TlsStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    /// The first call performs the handshake, which checks the certificate.
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(in_words)
    }
}

/// Replaces errors of rustls that give only a name by messages that an operator can act on.
fn in_words(error: io::Error) -> io::Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let words = match cause {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "the certificate of the server is not signed by an authority that is trusted: give the certificate of that \
             authority to `RedisStore::tls_root`"
        }
        // The verifier's own error is only available as text.
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(other)))
            if format!("{other:?}").contains("CaUsedAsEndEntity") =>
        {
            "the certificate of the server is an authority's (CA:TRUE), as `openssl req -x509` makes them by default: make it \
             with `-addext basicConstraints=critical,CA:FALSE`, or have the authority sign another one for the server"
        }
        _ => return error,
    };
    io::Error::new(error.kind(), words)
}

/// Uses a fixed provider and not that of the process, because the application may have installed another one or none.
fn config(roots: Option<&RootCertStore>) -> Arc<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring speaks the TLS versions that are compiled in");
    let config = match roots {
        Some(roots) => builder.with_root_certificates(roots.clone()).with_no_client_auth(),
        None => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider))).with_no_client_auth()
        }
    };
    Arc::new(config)
}

/// Accepts any certificate, for URLs with `#insecure`. The signatures of the handshake are still checked against it.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

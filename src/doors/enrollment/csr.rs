//! What is taken from a request for a certificate: its public key, and nothing else.
//!
//! A request that asks for more than the holder of the token is given says that its maker expects something else than
//! it would get, or tries what it may get; it is refused as a whole.

use base64::Engine;
use rcgen::SubjectPublicKeyInfo;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_X509_COMMON_NAME;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use crate::model::{Code, KeyId, ProviderId, Refusal};

/// The largest request: with the largest key that is taken it has less than half of this.
pub(crate) const CSR_MAX: usize = 8 * 1024;
/// The least an RSA key may have. *Units*: bits.
const RSA_LEAST: usize = 2048;
/// The most. *Units*: bits.
const RSA_MOST: usize = 8192;

/// A public key whose owner has proved to have the private one.
#[derive(Debug)]
pub(crate) struct Proved {
    pub(super) spki: SubjectPublicKeyInfo,
    pub(crate) key: KeyId,
}

fn refuse(why: impl Into<String>) -> Refusal {
    Refusal::new(Code::CsrRefused, why)
}

/// Reads a request, in PEM or DER, for a certificate that names `uri` (of `provider`).
///
/// *Errors*: [`Code::CsrRefused`].
pub(crate) fn check(request: &[u8], provider: &ProviderId, uri: &str) -> Result<Proved, Refusal> {
    if request.len() > CSR_MAX {
        return Err(refuse(format!("a certificate request is at most {CSR_MAX} bytes")));
    }
    let der = der_of(request)?;
    let (rest, csr) = X509CertificationRequest::from_der(&der)
        .map_err(|_| refuse("this is no certificate request (PKCS #10, in PEM or DER)"))?;
    if !rest.is_empty() {
        return Err(refuse("something follows the certificate request"));
    }
    let info = &csr.certification_request_info;
    let strong = match info.subject_pki.parsed() {
        Ok(PublicKey::RSA(rsa)) => (RSA_LEAST..=RSA_MOST).contains(&rsa.key_size()),
        Ok(PublicKey::EC(_) | PublicKey::Unknown(_)) => true,
        Ok(PublicKey::DSA(_) | PublicKey::GostR3410(_) | PublicKey::GostR3410_2012(_)) | Err(_) => false,
    };
    // Of the other kinds only P-256, P-384 and Ed25519 are known here.
    let spki = SubjectPublicKeyInfo::from_der(info.subject_pki.raw).ok().filter(|_| strong);
    let spki = spki
        .ok_or_else(|| refuse("the key is weak or unknown: P-256, P-384, Ed25519 and RSA from 2048 bits are taken"))?;
    csr.verify_signature().map_err(|_| refuse("the certificate request is not signed by its own key"))?;
    let names_this = |name: &str| name == provider.as_str();
    for attribute in info.subject.iter_attributes() {
        let common = *attribute.attr_type() == OID_X509_COMMON_NAME;
        if !common || !attribute.as_str().is_ok_and(names_this) {
            return Err(refuse(format!("the certificate request has a subject other than CN={provider}")));
        }
    }
    for extension in csr.requested_extensions().into_iter().flatten() {
        allowed(extension, uri)?;
    }
    Ok(Proved { spki, key: KeyId::of_spki(info.subject_pki.raw) })
}

fn der_of(request: &[u8]) -> Result<Vec<u8>, Refusal> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE REQUEST-----";
    const END: &str = "-----END CERTIFICATE REQUEST-----";
    let Some(text) = std::str::from_utf8(request).ok().map(str::trim).filter(|text| text.starts_with("-----")) else {
        return Ok(request.to_vec());
    };
    let body = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
    let body: Option<String> = body.map(|body| body.split_ascii_whitespace().collect());
    let der = body.and_then(|body| base64::engine::general_purpose::STANDARD.decode(body).ok());
    der.ok_or_else(|| refuse("this is no certificate request in PEM"))
}

/// Tools ask for what they would get anyway; that is no trick.
fn allowed(extension: &ParsedExtension<'_>, uri: &str) -> Result<(), Refusal> {
    match extension {
        ParsedExtension::SubjectAlternativeName(names) => {
            let own = |name: &GeneralName<'_>| matches!(name, GeneralName::URI(asked) if *asked == uri);
            if names.general_names.iter().all(own) {
                return Ok(());
            }
            Err(refuse(format!("the certificate request asks for names other than {uri}")))
        }
        ParsedExtension::BasicConstraints(constraints) if constraints.ca => {
            Err(refuse("the certificate request asks for an authority's certificate"))
        }
        ParsedExtension::KeyUsage(usage) if usage.key_cert_sign() || usage.crl_sign() => {
            Err(refuse("the certificate request asks to sign certificates"))
        }
        ParsedExtension::ExtendedKeyUsage(usage)
            if usage.any
                || usage.server_auth
                || usage.code_signing
                || usage.email_protection
                || usage.time_stamping
                || usage.ocsp_signing
                || !usage.other.is_empty() =>
        {
            Err(refuse("the certificate request asks for another use than that of a TLS client"))
        }
        ParsedExtension::BasicConstraints(_)
        | ParsedExtension::KeyUsage(_)
        | ParsedExtension::ExtendedKeyUsage(_)
        | ParsedExtension::SubjectKeyIdentifier(_) => Ok(()),
        // A foreign enum; what is not known to be harmless is refused.
        _ => Err(refuse("the certificate request asks for an extension that no provider's certificate has")),
    }
}

#[cfg(test)]
mod tests;

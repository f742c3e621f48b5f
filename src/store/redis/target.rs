//! Parses URLs into addresses and logins.
//!
//! The `redis` crate parses the URLs. This file adds the schemes for TLS, which that crate only supports with its own
//! TLS, and error messages without passwords.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};

use crate::error::{Error, ErrorKind};

/// A node of a cluster or a master, by host and port.
pub(super) type HostPort = (String, u16);

/// Parses a URL. Opens no connection.
pub(super) fn parse(text: &str) -> Result<ConnectionInfo, Error> {
    let refuse = |why: &str| Error::new(ErrorKind::Config, format!("redis URL `{}`: {why}", redacted(text)));
    let mut url = redis::parse_redis_url(text)
        .ok_or_else(|| refuse("expected redis://, rediss://, valkey://, valkeys:// or redis+unix://, and a host"))?;
    let secure = matches!(url.scheme(), "rediss" | "valkeys");
    let insecure = match url.fragment() {
        None => false,
        Some("insecure") if secure => true,
        Some(_) => return Err(refuse("only rediss:// and valkeys:// take a fragment, which is `insecure`")),
    };
    if secure && !cfg!(feature = "redis-tls") {
        return Err(refuse("TLS needs the feature `redis-tls`"));
    }
    if secure {
        url.set_scheme("redis").map_err(|()| refuse("the scheme is not one of Redis"))?;
    }
    let info = url.into_connection_info().map_err(|error| refuse(&error.to_string()))?;
    if info.redis_settings().db() < 0 {
        return Err(refuse("a database number is not negative"));
    }
    match info.addr() {
        ConnectionAddr::Tcp(host, port) if secure => {
            let address = ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure, tls_params: None };
            Ok(info.set_addr(address))
        }
        _ => Ok(info),
    }
}

/// The same from the parts of an address; a login is a user and a password.
pub(super) fn at(
    host: String,
    port: u16,
    db: i64,
    (user, password): (Option<String>, Option<String>),
) -> Result<ConnectionInfo, Error> {
    let mut settings = RedisConnectionInfo::default().set_db(db);
    if let Some(user) = user {
        settings = settings.set_username(user);
    }
    if let Some(password) = password {
        settings = settings.set_password(password);
    }
    let info = ConnectionAddr::Tcp(host, port).into_connection_info();
    let info = info.map_err(|error| Error::new(ErrorKind::Config, format!("redis server: {error}")))?;
    Ok(info.set_redis_settings(settings))
}

/// Parses the URLs of one cluster or of its sentinels. There must be at least one, and none of a Unix socket.
pub(super) fn parse_all(urls: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Vec<ConnectionInfo>, Error> {
    let infos = urls.into_iter().map(|url| parse(url.as_ref())).collect::<Result<Vec<_>, _>>()?;
    if infos.is_empty() {
        return Err(Error::new(ErrorKind::Config, "redis URLs: expected at least one"));
    }
    if infos.iter().any(|info| matches!(info.addr(), ConnectionAddr::Unix(_))) {
        return Err(Error::new(ErrorKind::Config, "redis URLs: several servers are not reached by a Unix socket"));
    }
    Ok(infos)
}

/// The same login at another address.
pub(super) fn at_address(info: &ConnectionInfo, host: String, port: u16) -> ConnectionInfo {
    let address = match info.addr() {
        ConnectionAddr::TcpTls { insecure, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: None }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    info.clone().set_addr(address)
}

/// The URL without the parts that may be a password, even if it is malformed: the text before the last `@`, in place of
/// a port, or after a `?`.
fn redacted(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let (login, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("***@", rest));
    let rest = rest.split('?').next().unwrap_or_default();
    let end = rest.find(['/', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') && port.parse::<u16>().is_err() => format!("{host}:***"),
        _ => authority.to_owned(),
    };
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{login}{authority}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_quoted_without_its_password() {
        for url in [
            "http://user:secret@host/0",
            "redis://user:secret@host:port",
            "redis://:secret@",
            "redis://:secret",
            "redis://user:secret",
            "redis://:sec/secret@host",
            "redis://:sec?secret@host/x",
            "redis://user:secret@host/db",
            "rediss://:secret@host#nonsense",
            "redis+unix:///path?db=x&pass=secret",
            "user:secret@host",
            "secret@host",
            "redis://:secret@0.0.0.0",
            "redis://:secret@host/-1",
        ] {
            let error = parse(url).expect_err(url);
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
        assert_eq!(redacted("redis://user:secret@[::1]:6379/0"), "redis://***@[::1]:6379/0");
    }

    #[test]
    fn urls_contain_address_and_login() {
        let info = parse("redis://user:p%40ss@host:1/3").unwrap();
        assert_eq!(info.addr(), &ConnectionAddr::Tcp("host".into(), 1));
        let settings = info.redis_settings();
        assert_eq!((settings.username(), settings.password(), settings.db()), (Some("user"), Some("p@ss"), 3));
        assert_eq!(parse("valkey://host").unwrap().addr(), &ConnectionAddr::Tcp("host".into(), 6379));
        let info = parse("redis+unix:///run/redis.sock?db=2&pass=x").unwrap();
        assert_eq!(info.addr(), &ConnectionAddr::Unix("/run/redis.sock".into()));
        assert_eq!((info.redis_settings().password(), info.redis_settings().db()), (Some("x"), 2));
        assert!(parse("unix:///run/redis.sock").is_ok());
    }

    #[test]
    fn the_scheme_selects_tls() {
        for url in ["rediss://host/2", "valkeys://host:6379/2#insecure"] {
            match parse(url) {
                Ok(info) => {
                    let ConnectionAddr::TcpTls { insecure, .. } = info.addr() else { panic!("{info:?}") };
                    assert_eq!((*insecure, info.redis_settings().db()), (url.contains('#'), 2));
                }
                Err(error) => assert!(error.to_string().contains("feature `redis-tls`"), "{error}"),
            }
        }
        assert!(parse("redis://host#insecure").is_err());
    }
}

//! Where the database is and who logs in, as libpq writes it. Pure.
//!
//! TLS is not a matter of the string: the server's name and certificate are always verified. A string may say so
//! (`sslmode=verify-full`), and one that asks for less is refused. No message quotes the string, since it may hold a password.

use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use zeroize::Zeroizing;

/// For the TCP connection to one address of the server.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long sent data may stay unacknowledged before the connection is lost.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Each host is tried in turn, and named in the node's status.
const MAX_HOSTS: usize = 16;
/// The longest DNS name.
const MAX_HOST_LENGTH: usize = 253;

/// Why a connection string is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StringError {
    #[error(
        "is not a connection string of PostgreSQL: postgresql://USER@HOST:PORT/DATABASE, or host=... user=..."
    )]
    Unreadable,
    #[error("asks for a weaker sslmode than verify-full, which is always used: leave sslmode out")]
    SslMode,
    #[error("names files of certificates: leave ssl* out, the node's configuration names them")]
    SslFiles,
    #[error("names no host; its certificate must be for that name")]
    Host,
    #[error("names a Unix socket as host: TLS needs a name or an address")]
    Socket,
    #[error("names more than {MAX_HOSTS} hosts")]
    Hosts,
    #[error("names a host that is neither a DNS name nor an address")]
    HostName,
    #[error(
        "has more than one @: a role, a password or a name with @, /, ? or another special character must be percent-encoded (@ is %40)"
    )]
    Unescaped,
    #[error("names no user")]
    User,
}

/// How one host of the connection string is reached.
pub(crate) struct Server {
    /// `host:port`, for messages.
    pub(crate) name: String,
    /// The password in it is not cleared when it goes: the library does not.
    pub(crate) config: Config,
}

/// The hosts in their order. Each is tried with a time of its own: the library's own list waits at a host that takes connections and
/// never answers.
pub(crate) fn servers(text: &str) -> Result<Vec<Server>, StringError> {
    let all = parse(text)?;
    let (hosts, addresses, ports) = (all.get_hosts(), all.get_hostaddrs(), all.get_ports());
    if ports.len() > 1 && ports.len() != hosts.len()
        || !addresses.is_empty() && addresses.len() != hosts.len()
    {
        return Err(StringError::Unreadable);
    }
    let server = |(number, host): (usize, &Host)| {
        let Host::Tcp(host) = host else { return Err(StringError::Socket) };
        let port = ports.get(number).or_else(|| ports.first()).copied().unwrap_or(5432);
        let mut config = common(&all);
        config.host(host).port(port);
        if let Some(address) = addresses.get(number) {
            config.hostaddr(*address);
        }
        Ok(Server { name: format!("{host}:{port}"), config })
    };
    hosts.iter().enumerate().map(server).collect()
}

/// What a configuration says of every host.
fn common(all: &Config) -> Config {
    let mut config = Config::new();
    config
        .ssl_mode(SslMode::Require)
        .target_session_attrs(TargetSessionAttrs::ReadWrite)
        .channel_binding(all.get_channel_binding())
        .connect_timeout(CONNECT_TIME)
        .tcp_user_timeout(UNACKNOWLEDGED)
        .keepalives(true)
        .keepalives_idle(KEEPALIVE)
        .keepalives_interval(KEEPALIVE)
        .keepalives_retries(2)
        .application_name(all.get_application_name().unwrap_or("tessera-node"));
    if let Some(user) = all.get_user() {
        config.user(user);
    }
    if let Some(password) = all.get_password() {
        config.password(password);
    }
    if let Some(database) = all.get_dbname() {
        config.dbname(database);
    }
    if let Some(options) = all.get_options() {
        config.options(options);
    }
    config
}

fn parse(text: &str) -> Result<Config, StringError> {
    let text = text.trim();
    let without_tls = match text.split_once("://") {
        Some(("postgres" | "postgresql", _)) => url(text)?,
        _ => pairs(text)?,
    };
    let config: Config = without_tls.parse().map_err(|_| StringError::Unreadable)?;
    if config.get_hosts().is_empty() {
        return Err(StringError::Host);
    }
    if config.get_hosts().iter().any(|host| matches!(host, Host::Unix(_))) {
        return Err(StringError::Socket);
    }
    if config.get_hosts().len() > MAX_HOSTS {
        return Err(StringError::Hosts);
    }
    let is_name = |host: &Host| matches!(host, Host::Tcp(name) if is_host_name(name));
    if !config.get_hosts().iter().all(is_name) {
        return Err(StringError::HostName);
    }
    if config.get_user().is_none_or(str::is_empty) {
        return Err(StringError::User);
    }
    Ok(config)
}

/// Messages and the node's status name the host, so no other text may pass as one.
fn is_host_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
    (1..=MAX_HOST_LENGTH).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// `postgresql://…?a=b&c=d` without what it says of TLS.
fn url(text: &str) -> Result<Zeroizing<String>, StringError> {
    // With a password "a@b" the library would take "b" for a host.
    if text.matches('@').count() > 1 {
        return Err(StringError::Unescaped);
    }
    let Some((place, query)) = text.split_once('?') else { return Ok(Zeroizing::new(text.to_owned())) };
    // With a password "1?2" the library would take the role for a host.
    if query.contains('@') {
        return Err(StringError::Unescaped);
    }
    let mut kept = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').ok_or(StringError::Unreadable)?;
        if !is_tls(name, value)? {
            kept.push(pair);
        }
    }
    Ok(Zeroizing::new(format!("{place}?{}", kept.join("&"))))
}

/// `a=b c='d e'` without what it says of TLS.
fn pairs(text: &str) -> Result<Zeroizing<String>, StringError> {
    let mut kept = Zeroizing::new(String::with_capacity(2 * text.len()));
    let mut rest = text;
    while !rest.trim_start().is_empty() {
        let (name, after) = rest.split_once('=').ok_or(StringError::Unreadable)?;
        let (value, after) = value(after.trim_start())?;
        if !is_tls(name.trim(), value.trim_matches('\''))? {
            for part in [name.trim(), "=", value, " "] {
                kept.push_str(part);
            }
        }
        rest = after;
    }
    Ok(kept)
}

/// The value at the beginning, in the quotes and with the backslashes that it has, and what follows.
fn value(text: &str) -> Result<(&str, &str), StringError> {
    let is_quoted = text.starts_with('\'');
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(usize::from(is_quoted)) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' if is_quoted => return Ok(text.split_at(at + 1)),
            _ if !is_quoted && character.is_whitespace() => return Ok(text.split_at(at)),
            _ => {}
        }
    }
    if is_quoted { Err(StringError::Unreadable) } else { Ok((text, "")) }
}

/// Whether the pair is about TLS, and says no more than what is done anyway.
fn is_tls(name: &str, value: &str) -> Result<bool, StringError> {
    match name {
        "sslmode" if value == "verify-full" => Ok(true),
        "sslmode" => Err(StringError::SslMode),
        _ if name.starts_with("ssl") => Err(StringError::SslFiles),
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_where_and_who() {
        for text in [
            "postgresql://ledger:p%20w@db.example:5433/payloads?sslmode=verify-full&options=-c%20search_path%3Dx",
            " host=db.example port=5433 user=ledger password='p w' dbname=payloads sslmode='verify-full' options='-c search_path=x'\n",
        ] {
            let [Server { name, config }] = &servers(text).unwrap()[..] else { panic!("{text}") };
            assert_eq!(name, "db.example:5433", "{text}");
            assert_eq!(config.get_hosts(), [Host::Tcp("db.example".to_owned())], "{text}");
            assert_eq!((config.get_ports(), config.get_user()), (&[5433][..], Some("ledger")), "{text}");
            assert_eq!(config.get_password(), Some(&b"p w"[..]), "{text}");
            assert_eq!(config.get_dbname(), Some("payloads"), "{text}");
            assert_eq!(config.get_options(), Some("-c search_path=x"), "{text}");
            assert_eq!(config.get_ssl_mode(), SslMode::Require, "{text}");
            assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite, "{text}");
        }
        let names =
            |text: &str| servers(text).unwrap().into_iter().map(|server| server.name).collect::<Vec<_>>();
        assert_eq!(names("postgres://u@a:1,b:2/d"), ["a:1", "b:2"]);
        assert_eq!(names("host=a,b user=u"), ["a:5432", "b:5432"]);
        assert!(servers("host=a,b port=1,2,3 user=u").is_err());
        let quoted = parse(r"host=h user=u password='it\'s sslmode=disable'").unwrap();
        assert_eq!(quoted.get_password(), Some(&b"it's sslmode=disable"[..]));
    }

    #[test]
    fn what_weakens_or_misses_something_is_refused_without_a_quotation() {
        for (text, error) in [
            ("postgresql://u:secret@h/d?sslmode=disable", StringError::SslMode),
            ("host=h user=u password=secret sslmode=require", StringError::SslMode),
            ("host=h user=u password=secret sslmode=prefer sslmode=verify-full", StringError::SslMode),
            ("host=h user=u password=secret sslrootcert=x", StringError::SslFiles),
            ("postgresql://u:secret@h/d?sslkey=x", StringError::SslFiles),
            ("user=u password=secret", StringError::Host),
            ("host=/var/run user=u password=secret", StringError::Socket),
            ("postgresql://h/secret", StringError::User),
            ("host=h user=u password='secret", StringError::Unreadable),
            ("jdbc:postgresql://h/secret", StringError::Unreadable),
            ("host=h user=u port=secret", StringError::Unreadable),
            ("secret", StringError::Unreadable),
            ("postgresql://u:pa@secret@h/d", StringError::Unescaped),
            ("postgresql://u:pa@secret/x@h/d", StringError::Unescaped),
            ("postgresql://u:1234?secret@h/d", StringError::Unescaped),
            ("postgresql://u:1234?x=secret@h/d", StringError::Unescaped),
            ("host=se@cret user=u", StringError::HostName),
            ("host='h secret' user=u", StringError::HostName),
        ] {
            let found = parse(text).expect_err(text);
            assert_eq!(found, error, "{text}");
            assert!(!found.to_string().contains("secret"), "{found}");
        }
        let escaped = parse("postgresql://u:pa%40secret%2Fx%3F@h/d").unwrap();
        assert_eq!(escaped.get_password(), Some(&b"pa@secret/x?"[..]));
    }

    #[test]
    fn hosts_are_few_and_have_names() {
        let hosts = |count: usize| format!("host={} user=u", vec!["a"; count].join(","));
        assert!(parse(&hosts(MAX_HOSTS)).is_ok());
        assert_eq!(parse(&hosts(MAX_HOSTS + 1)).unwrap_err(), StringError::Hosts);
        let long = |length: usize| format!("host={} user=u", "a".repeat(length));
        assert!(parse(&long(MAX_HOST_LENGTH)).is_ok());
        assert_eq!(parse(&long(MAX_HOST_LENGTH + 1)).unwrap_err(), StringError::HostName);
        assert!(parse("postgresql://u@[2001:db8::1]:5432/d").is_ok());
    }
}

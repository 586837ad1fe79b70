//! What version 2 says beyond addresses: which name was asked for, what was agreed on in TLS, and with whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use ppp::v2::{Header, Type, TypeLengthValues};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::certs::{Authority, Identity};
use crate::support::plain::{Door, Plain};
use crate::support::secure::{handshake, offering, provider, showing, speaking, trusting};
use crate::support::streams::{ends_tls, pool, start, stream};
use crate::support::tls_peer::shows;
use crate::support::wait;

use super::{read_v1, read_v2};

/// The name of every server here.
const NAME: &str = "app.example";

/// Fields by their types.
struct Fields(BTreeMap<u8, Vec<u8>>);

impl Fields {
    /// Those of a header.
    fn of(header: &[u8]) -> Self {
        let header = Header::try_from(header).expect("a header of version 2");
        Self::all(header.tlvs())
    }

    fn all(fields: TypeLengthValues<'_>) -> Self {
        let mut all = BTreeMap::new();
        for field in fields {
            let field = field.expect("a whole field");
            let earlier = all.insert(field.kind, field.value.into_owned());
            assert_eq!(earlier, None, "field {} stands there twice", field.kind);
        }
        Self(all)
    }

    fn bytes(&self, kind: Type) -> Option<&[u8]> {
        self.0.get(&u8::from(kind)).map(Vec::as_slice)
    }

    fn text(&self, kind: Type) -> Option<String> {
        let bytes = self.bytes(kind)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    fn ssl(&self) -> Ssl {
        let value = self.bytes(Type::SSL).expect("what is known of TLS");
        let (start, rest) = value.split_at(5);
        Ssl {
            client: start[0],
            verify: u32::from_be_bytes([start[1], start[2], start[3], start[4]]),
            fields: Self::all(TypeLengthValues::from(rest)),
        }
    }
}

/// The field that speaks of TLS.
struct Ssl {
    client: u8,
    verify: u32,
    fields: Fields,
}

/// Bits of `client`: it came by TLS; it has shown a certificate in this connection.
const TLS: u8 = 1;
const CERTIFICATE: u8 = 2;

/// lbd that ends TLS with further keys, and the authority that vouches for it.
struct Front {
    authority: Authority,
    identity: Identity,
    door: Door,
}

impl Front {
    async fn new() -> Self {
        let authority = Authority::new();
        let identity = authority.server(&[NAME]);
        let door = Door::open().await;
        Self {
            authority,
            identity,
            door,
        }
    }

    /// What the server is told of a client with this configuration that asks for `name`.
    async fn told(
        &self,
        keys: &str,
        name: &str,
        config: &Arc<ClientConfig>,
    ) -> (Fields, TlsStream<TcpStream>) {
        let tls = ends_tls(&self.identity, keys);
        let keys = format!("send_proxy = \"v2\"\n{tls}");
        let (_proxy, addr) = start(&stream(&keys, &[self.door.server()], "")).await;
        let client = handshake(addr, name, config).await;
        let client = client.expect("a handshake that succeeds");
        let header = read_v2(&mut self.door.accept().await).await;
        (Fields::of(&header), client)
    }
}

#[tokio::test]
async fn a_server_learns_what_was_agreed_on_in_tls() {
    let front = Front::new().await;
    let config = offering(&trusting(&front.authority), &["mqtt"]);
    let (fields, client) = front.told("alpn = [\"mqtt\"]", NAME, &config).await;
    assert_eq!(fields.text(Type::Authority).as_deref(), Some(NAME));
    assert_eq!(fields.text(Type::ALPN).as_deref(), Some("mqtt"));
    let ssl = fields.ssl();
    assert_eq!(ssl.client, TLS);
    assert_ne!(ssl.verify, 0, "no certificate was verified");
    let version = ssl.fields.text(Type::SSLVersion);
    assert_eq!(version.as_deref(), Some("TLSv1.3"));
    let (_, session) = client.get_ref();
    let suite = session.negotiated_cipher_suite().expect("a suite").suite();
    let suite = format!("{suite:?}").replace("TLS13_", "TLS_");
    assert_eq!(ssl.fields.text(Type::SSLCipher), Some(suite));
    assert_eq!(ssl.fields.text(Type::SSLCommonName), None);
}

#[tokio::test]
async fn a_server_learns_of_the_older_version() {
    let front = Front::new().await;
    let versions = [&rustls::version::TLS12];
    let config = Arc::new(speaking(&front.authority, provider(), &versions));
    let (fields, _) = front.told("", NAME, &config).await;
    let ssl = fields.ssl();
    let version = ssl.fields.text(Type::SSLVersion);
    assert_eq!(version.as_deref(), Some("TLSv1.2"));
    assert!(ssl.fields.bytes(Type::SSLCipher).is_some());
}

#[tokio::test]
async fn what_was_not_said_is_not_told() {
    let authority = Authority::new();
    let front = Front {
        identity: authority.server(&[NAME, "127.0.0.2"]),
        authority,
        door: Door::open().await,
    };
    let config = Arc::new(trusting(&front.authority));
    // An address is no name to ask for.
    let (fields, _) = front.told("alpn = [\"mqtt\"]", "127.0.0.2", &config).await;
    assert_eq!(fields.text(Type::Authority), None);
    assert_eq!(fields.text(Type::ALPN), None);
    assert_eq!(fields.ssl().client, TLS);
}

#[tokio::test]
async fn a_server_learns_who_has_shown_a_certificate() {
    let front = Front::new().await;
    let clients = Authority::new();
    let alice = showing(&front.authority, &clients.client("alice"));
    for auth in ["require", "optional"] {
        let ca = clients.path();
        let keys = format!("client_ca = \"{ca}\", client_auth = \"{auth}\"");
        let config = Arc::new(alice.clone());
        let (fields, _) = front.told(&keys, NAME, &config).await;
        let ssl = fields.ssl();
        assert_eq!(ssl.client & (TLS | CERTIFICATE), TLS | CERTIFICATE);
        assert_eq!(ssl.verify, 0, "it was verified");
        let name = ssl.fields.text(Type::SSLCommonName);
        assert_eq!(name.as_deref(), Some("alice"), "{auth}");
    }
}

#[tokio::test]
async fn who_may_show_a_certificate_and_does_not_is_nobody() {
    let front = Front::new().await;
    let clients = Authority::new();
    let ca = clients.path();
    let keys = format!("client_ca = \"{ca}\", client_auth = \"optional\"");
    let config = Arc::new(trusting(&front.authority));
    let (fields, _) = front.told(&keys, NAME, &config).await;
    let ssl = fields.ssl();
    assert_eq!(ssl.client, TLS);
    assert_ne!(ssl.verify, 0, "there was nothing to verify");
    assert_eq!(ssl.fields.text(Type::SSLCommonName), None);
}

// === TLS that passes through ===

/// A stream that chooses by these names, with pool `app` for `door`.
fn by_name(names: &str, door: &Door) -> String {
    let pool = pool("app", &[door.server()], "");
    format!("[[streams]]\nbind = \"127.0.0.2:0\"\nsend_proxy = \"v2\"\nsni = {{ {names} }}\n{pool}")
}

#[tokio::test]
async fn a_server_learns_what_was_asked_for_before_the_client_hello() {
    let Front {
        authority,
        identity,
        door,
    } = Front::new().await;
    let names = format!("\"{NAME}\" = \"app\"");
    let (_proxy, addr) = start(&by_name(&names, &door)).await;
    let config = offering(&trusting(&authority), &["mqtt"]);
    let connecting = handshake(addr, NAME, &config);
    let serving = async {
        let mut server = door.accept().await;
        let header = read_v2(&mut server).await;
        (header, server.secured_by(shows(&identity)).await)
    };
    let (client, (header, _server)) = tokio::join!(connecting, serving);
    client.expect("a handshake that succeeds");
    let fields = Fields::of(&header);
    assert_eq!(fields.text(Type::Authority).as_deref(), Some(NAME));
    assert_eq!(fields.text(Type::ALPN).as_deref(), Some("mqtt"));
}

#[tokio::test]
async fn where_there_is_no_client_hello_nothing_is_told_of_one() {
    let door = Door::open().await;
    let (_proxy, addr) = start(&by_name("\"*\" = \"app\"", &door)).await;
    let mut client = Plain::connect(addr).await;
    client.send("SSH-2.0-OpenSSH_9.2\r\n").await;
    let mut server = door.accept().await;
    let header = read_v2(&mut server).await;
    assert!(Fields::of(&header).0.is_empty(), "{header:?}");
    server.hears("SSH-2.0-OpenSSH_9.2\r\n").await;
}

// === before TLS to servers ===

#[tokio::test]
async fn the_header_stands_in_clear_text_before_tls() {
    for version in ["v1", "v2"] {
        let Front {
            authority,
            identity,
            door,
        } = Front::new().await;
        let ca = authority.path();
        let tls = format!("tls = {{ ca = \"{ca}\", server_name = \"{NAME}\" }}");
        let keys = format!("send_proxy = \"{version}\"");
        let (_proxy, addr) = start(&stream(&keys, &[door.server()], &tls)).await;
        let mut client = Plain::connect(addr).await;
        client.send("a question").await;
        let mut server = door.accept().await;
        match version {
            "v1" => assert!(read_v1(&mut server).await.starts_with("PROXY TCP4 ")),
            // The client came in clear text, whatever lbd speaks.
            _ => assert!(Fields::of(&read_v2(&mut server).await).0.is_empty()),
        }
        let mut server = server.secured_by(shows(&identity)).await;
        let mut question = [0; 10];
        let read = wait::within("the question", server.read_exact(&mut question)).await;
        read.expect("the connection goes on");
        assert_eq!(&question, b"a question");
        let answering = async {
            server.write_all(b"an answer").await?;
            server.flush().await
        };
        let answered = wait::within("the answer", answering).await;
        answered.expect("the proxy takes an answer");
        client.hears("an answer").await;
    }
}

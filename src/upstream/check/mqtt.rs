//! An MQTT connection, from CONNECT to CONNACK (MQTT 3.1.1, sections 3.1 and 3.2): a broker that waits for a PROXY
//! header, or that takes ours for a packet, fails this and no check of ports.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{probe::Probe, tcp::shown};

/// Who asks.
pub(super) struct Login<'l> {
    /// `None`: a name that nobody else has.
    pub(super) client_id: Option<&'l str>,
    pub(super) username: Option<&'l str>,
    pub(super) password: Option<&'l str>,
}

const CONNACK: [u8; 2] = [0x20, 2];
const DISCONNECT: [u8; 2] = [0xe0, 0];

pub(super) async fn check(probe: &Probe<'_>, login: &Login<'_>) -> Result<(), String> {
    let mut io = probe.connect(false).await?;
    let broke = |_| "closed before CONNACK".to_owned();
    io.write_all(&connect(login)).await.map_err(broke)?;
    let mut answer = [0; 4];
    io.read_exact(&mut answer).await.map_err(broke)?;
    let [first, length, _, code] = answer;
    if [first, length] != CONNACK {
        return Err(format!("said {} for CONNACK", shown(&answer)));
    }
    match refusal(code) {
        None => {
            // It has answered; whether it hears the goodbye is no matter.
            let _ = io.write_all(&DISCONNECT).await;
            Ok(())
        }
        Some(reason) => Err(format!("CONNACK {code}: {reason}")),
    }
}

/// Section 3.2.2.3.
fn refusal(code: u8) -> Option<&'static str> {
    match code {
        0 => None,
        1 => Some("does not speak MQTT 3.1.1"),
        2 => Some("refuses the client's name"),
        3 => Some("is unavailable"),
        4 => Some("refuses name or password"),
        5 => Some("does not allow it"),
        _ => Some("for a reason of its own"),
    }
}

/// Section 3.1: a clean session that lasts as long as the check.
fn connect(login: &Login<'_>) -> Vec<u8> {
    const CLEAN: u8 = 0x02;
    const WITH_PASSWORD: u8 = 0x40;
    const WITH_NAME: u8 = 0x80;
    const KEEP_ALIVE: u16 = 60;
    let flag = |text: Option<&str>, flag| text.map_or(0, |_| flag);
    let flags = CLEAN | flag(login.username, WITH_NAME) | flag(login.password, WITH_PASSWORD);
    let own_id = || format!("lbd-check-{:08x}", fastrand::u32(..));
    let client_id = login.client_id.map_or_else(own_id, str::to_owned);
    let mut rest = b"\0\x04MQTT\x04".to_vec();
    rest.push(flags);
    rest.extend_from_slice(&KEEP_ALIVE.to_be_bytes());
    let texts = [Some(&*client_id), login.username, login.password];
    for text in texts.into_iter().flatten() {
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        rest.extend_from_slice(&length.to_be_bytes());
        rest.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
    }
    let mut packet = vec![0x10];
    write_length(&mut packet, rest.len());
    packet.extend_from_slice(&rest);
    packet
}

/// Section 2.2.3: seven bits in each byte, the low ones first.
fn write_length(out: &mut Vec<u8>, mut length: usize) {
    while length > 0x7f {
        out.push(length as u8 & 0x7f | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connect_packet_is_as_the_standard_has_it() {
        let login = Login {
            client_id: Some("c"),
            username: Some("u"),
            password: Some("pw"),
        };
        let packet = connect(&login);
        assert_eq!(
            packet,
            b"\x10\x14\0\x04MQTT\x04\xc2\0\x3c\0\x01c\0\x01u\0\x02pw"
        );
    }

    #[test]
    fn a_long_packet_has_a_length_of_two_bytes() {
        let mut out = Vec::new();
        write_length(&mut out, 321);
        assert_eq!(out, [0xc1, 0x02]);
    }
}

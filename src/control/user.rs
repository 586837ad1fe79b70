//! Who is at the other end of the socket, for logs.

use std::fs;

use tokio::net::UnixStream;

/// The user that has opened `stream`, by name where `/etc/passwd` has one.
pub(super) fn user_of(stream: &UnixStream) -> String {
    let Ok(credentials) = stream.peer_cred() else {
        return "somebody".to_owned();
    };
    let uid = credentials.uid();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of(uid, &users).unwrap_or_else(|| format!("uid {uid}"))
}

/// passwd(5): `name:password:uid:…`.
fn name_of(uid: u32, users: &str) -> Option<String> {
    let uid = uid.to_string();
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_name_that_the_system_has_for_it() {
        let users = "root:x:0:0::/root:/bin/sh\n\nalice:x:1000:1000::/home/a:/bin/sh\n";
        assert_eq!(name_of(1000, users).as_deref(), Some("alice"));
        assert_eq!(name_of(0, users).as_deref(), Some("root"));
        assert_eq!(name_of(7, users), None);
    }
}

//! nginx's mapping of `ip_hash`: clients by address, and which of equal servers each of them gets. Where a client is
//! known from its socket, from a PROXY header or from a field, it is the same.

/// Clients, and who of the servers a and b serves them.
pub(crate) const TO_TWO: [(&str, &str); 5] = [
    ("192.168.110.5", "b"),
    ("192.168.111.5", "a"),
    ("172.31.12.9", "a"),
    ("10.0.0.200", "b"),
    ("198.19.249.1", "a"),
];

/// Clients on this machine, and who of the servers a, b and c serves them: by the first three octets.
pub(crate) const TO_THREE: [(&str, &str); 6] = [
    ("127.0.0.1", "c"),
    ("127.0.1.1", "a"),
    ("127.0.2.1", "b"),
    ("127.0.0.77", "c"),
    ("127.0.1.200", "a"),
    ("127.0.2.3", "b"),
];

//! A head on its way out: HTTP/1.1's text, or HTTP/2's fields.

use super::{h1::write_field, message::Field};

/// What a head is written to, whichever version it is for.
pub(super) trait HeadWriter {
    /// A field as it was received.
    fn pass(&mut self, field: &Field<'_>);

    /// A field of lbd's own.
    fn field(&mut self, name: &str, value: &[u8]);

    /// A field whose value `write` appends; none if that is nothing.
    fn field_with(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>));

    /// A field about the connection, which only HTTP/1.1 has.
    fn of_connection(&mut self, name: &str, value: &[u8]);
}

/// HTTP/1.1's text.
impl HeadWriter for Vec<u8> {
    fn pass(&mut self, field: &Field<'_>) {
        field.write(self);
    }

    fn field(&mut self, name: &str, value: &[u8]) {
        write_field(self, name, value);
    }

    fn field_with(&mut self, name: &str, write: impl FnOnce(&mut Self)) {
        let start = self.len();
        self.extend_from_slice(name.as_bytes());
        self.extend_from_slice(b": ");
        let value = self.len();
        write(self);
        if self.len() == value {
            self.truncate(start);
        } else {
            self.extend_from_slice(b"\r\n");
        }
    }

    fn of_connection(&mut self, name: &str, value: &[u8]) {
        write_field(self, name, value);
    }
}

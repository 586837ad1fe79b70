//! Much, both ways at once.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

use crate::harness::wait::DEADLINE;
use crate::support::{Stream, noise, servers};

/// Of a prime length, so that no buffer's length is a multiple of it.
const PIECE: usize = 65_521;
/// A little over 64 MB.
const PIECES: usize = 1025;

/// Sends `piece` again and again, and then the end, while it reads the other side's pieces and its end.
fn talk(connection: &TcpStream, piece: &[u8], other: &[u8]) {
    connection
        .set_read_timeout(Some(DEADLINE))
        .expect("not zero");
    connection
        .set_write_timeout(Some(DEADLINE))
        .expect("not zero");
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = connection;
            for _ in 0..PIECES {
                writer.write_all(piece).expect("the other side reads");
            }
            writer.shutdown(Shutdown::Write).expect("it is open");
        });
        let mut reader = connection;
        let mut got = vec![0; PIECE];
        for i in 0..PIECES {
            reader.read_exact(&mut got).expect("the other side writes");
            assert!(got == other, "piece {i} is not the same");
        }
        let end = reader.read(&mut got).expect("the other side ends");
        assert_eq!(end, 0, "more than was sent");
    });
}

#[test]
fn sixty_four_megabytes_go_each_way_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = Stream::start("", &servers(&[listener.local_addr().unwrap()]));
    let ours = noise(PIECE);
    let theirs: Vec<_> = ours.iter().rev().copied().collect();
    thread::scope(|scope| {
        scope.spawn(|| talk(&listener.accept().unwrap().0, &theirs, &ours));
        talk(&TcpStream::connect(stream.addr).unwrap(), &ours, &theirs);
    });
}

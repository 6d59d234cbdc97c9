//! Streams of awkward lengths, whole and not.

use ring::digest::{SHA256, digest};

use super::*;

fn streamed(size: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..size).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect();
    let sum = digest(&SHA256, &bytes);
    bytes.extend_from_slice(sum.as_ref());
    bytes
}

async fn land_in(folder: &Path, stream: &[u8], message: usize) -> Result<(Landed, Vec<u8>), Fault> {
    let path = folder.join("landed");
    let mut landing = Landing::start(File::create(&path).unwrap(), path.clone());
    for message in stream.chunks(message) {
        landing.take(message).await?;
    }
    let landed = landing.finish().await?;
    Ok((landed, std::fs::read(path).unwrap()))
}

#[tokio::test]
async fn what_lands_is_what_was_sent_wherever_blocks_and_messages_end() {
    let folder = tempfile::tempdir().unwrap();
    for size in [512, 4096, BLOCK - 512, BLOCK, BLOCK + 512, 3 * BLOCK, 5 * BLOCK + 1536] {
        for message in [32 << 10, 1000, BLOCK + 7] {
            let stream = streamed(size);
            let (landed, file) = land_in(folder.path(), &stream, message).await.unwrap();
            assert!(file == stream, "{size} bytes in messages of {message}");
            assert_eq!(landed.size, size as u64);
            let bytes = landed.sha256.as_bytes().chunks(2);
            let sum = bytes.map(|b| u8::from_str_radix(std::str::from_utf8(b).unwrap(), 16).unwrap());
            assert!(sum.eq(stream[size..].iter().copied()), "{}", landed.sha256);
        }
    }
}

#[tokio::test]
async fn a_stream_without_its_checksum_or_with_another_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    for size in [4096, BLOCK, BLOCK + 4096] {
        let stream = streamed(size);
        // Every way to end too early that can be told by the length, the ends of blocks among them.
        for length in [0, 1, 31, 32, 512, size - 512, size - 512 + 32, size - 1, size, size + 1, size + 31] {
            let fault = land_in(folder.path(), &stream[..length], 32 << 10).await.err().unwrap();
            assert!(matches!(&fault, Fault::Lost { .. }), "{length} of {size}: {fault}");
        }
        for byte in [0, size / 2, size - 1, size, size + 31] {
            let mut other = stream.clone();
            other[byte] ^= 0x10;
            let fault = land_in(folder.path(), &other, 32 << 10).await.err().unwrap();
            assert!(fault.to_string().contains("checksum"), "byte {byte} of {size}: {fault}");
        }
    }
}

/// A file system that answers as it is told, and then takes everything; with what was written to it.
struct Odd {
    answers: Vec<Result<usize, io::ErrorKind>>,
    through: std::cell::Cell<bool>,
    written: Vec<u8>,
}

impl Write for Odd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(
            self.through.get() || bytes.len().is_multiple_of(ALIGN),
            "past the cache: whole blocks alone"
        );
        let answer = if self.answers.is_empty() { Ok(bytes.len()) } else { self.answers.remove(0) };
        let n = answer.map_err(io::Error::from)?.min(bytes.len());
        self.written.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn whatever_the_file_system_answers_every_byte_is_written_once() {
    use io::ErrorKind::{Interrupted, InvalidInput, StorageFull};
    let bytes: Vec<u8> = (0..5 * ALIGN + 32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    for answers in [
        vec![],
        vec![Ok(ALIGN), Ok(3 * ALIGN)],
        vec![Ok(100)],
        vec![Ok(ALIGN), Ok(ALIGN + 1)],
        vec![Err(Interrupted), Ok(ALIGN), Err(Interrupted)],
        vec![Err(InvalidInput)],
        vec![Ok(ALIGN), Err(InvalidInput), Ok(7)],
    ] {
        let mut odd = Odd { answers: answers.clone(), through: false.into(), written: Vec::new() };
        let mut past = true;
        for part in [&bytes[..2 * ALIGN], &bytes[2 * ALIGN..]] {
            write(&mut odd, part, &mut past, |o| {
                o.through.set(true);
                true
            })
            .unwrap();
        }
        assert!(odd.written == bytes, "{answers:?}");
        assert!(!past, "the tail goes through the cache");
    }
    for answers in [vec![Ok(0)], vec![Err(StorageFull)]] {
        let mut odd = Odd { answers, through: false.into(), written: Vec::new() };
        assert!(write(&mut odd, &bytes, &mut true, |_| true).is_err());
    }
    let mut odd = Odd { answers: vec![], through: false.into(), written: Vec::new() };
    let stuck = write(&mut odd, &bytes, &mut true, |_| false).unwrap_err();
    assert!(stuck.to_string().contains("whole blocks alone"));
}

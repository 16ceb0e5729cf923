//! One file by HTTP: resumed with `Range` where a part of it is there, tried again where the connection breaks.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::{HeaderMap, header};

use super::{Attempt, Failure};
use crate::error::IoContext;
use crate::progress::Progress;
use crate::shown::shown;

/// How often a broken transfer is begun again without having gained a byte.
const TRIES: u32 = 3;
/// How often one file is asked for in all, so that a server which keeps changing its mind is left at last.
const REQUESTS: u32 = 50;
/// The pause before the first new try; each further one is longer by as much.
const PAUSE: Duration = Duration::from_millis(300);

/// What one request brought.
enum End {
    /// All of the file.
    Complete,
    /// Less than all, for this reason; asking again may bring more.
    Broken(String),
}

/// Fetches `url` into `path`. What has come so far lies in `path` with `.part` added, also after a failure or a stop.
pub(super) fn fetch(url: &str, path: &Path, progress: &dyn Progress) -> Attempt<()> {
    let part = part_of(path);
    let agent = agent();
    let mut tries = 0;
    for _ in 0..REQUESTS {
        let before = length(&part);
        match request(&agent, url, &part, progress)? {
            End::Complete => {
                fs::rename(&part, path).at(path)?;
                return Ok(());
            }
            End::Broken(reason) => {
                tries = if length(&part) > before { 1 } else { tries + 1 };
                if tries >= TRIES {
                    return Err(Failure::Source(format!("{reason}, {TRIES} times; {} is kept", shown(&part))));
                }
                progress.note(&format!("{url}: {reason}; trying again"));
                pause(PAUSE * tries, progress)?;
            }
        }
    }
    Err(Failure::Source(format!("not complete after {REQUESTS} requests; {} is kept", shown(&part))))
}

fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(15)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        // A checksum is of the file as it lies on the server.
        .accept_encoding("identity")
        .user_agent(concat!("megabyte/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

fn request(agent: &Agent, url: &str, part: &Path, progress: &dyn Progress) -> Attempt<End> {
    let have = length(part);
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header(header::RANGE, format!("bytes={have}-"));
    }
    let response = match request.call() {
        Ok(response) => response,
        Err(error @ (ureq::Error::Timeout(_) | ureq::Error::Protocol(_))) => return Ok(End::Broken(error.to_string())),
        Err(ureq::Error::Io(error)) if broke(&error) => return Ok(End::Broken(error.to_string())),
        Err(error) => return Err(Failure::Source(error.to_string())),
    };
    let status = response.status();
    let range = content_range(response.headers());
    let (start, total) = match (status.as_u16(), range) {
        (200, _) => (0, response.body().content_length()),
        (206, Some((Some(start), total))) if start == have => (start, total),
        // Our part is as long as the file: all of it is there. If it is longer, it is of another file.
        (416, Some((None, Some(total)))) if total == have => return Ok(End::Complete),
        (206 | 416, _) if have > 0 => {
            fs::remove_file(part).at(part)?;
            return Ok(End::Broken("the server has another file than the part that is here".to_owned()));
        }
        (429 | 500..=599, _) => return Ok(End::Broken(format!("the server answers {status}"))),
        _ => return Err(Failure::Source(format!("the server answers {status}"))),
    };

    // A server that ignores the range sends the whole file, which then replaces the part.
    let mut file =
        OpenOptions::new().create(true).append(start > 0).write(true).truncate(start == 0).open(part).at(part)?;
    progress.start(&format!("fetch {url}"), total.unwrap_or(0));
    progress.advance(start);
    let mut body = response.into_body().into_reader();
    let end = copy(&mut body, &mut file, part, progress)?;
    file.sync_all().at(part)?;
    if let Some(reason) = end {
        return Ok(End::Broken(reason));
    }
    match (length(part), total) {
        (have, Some(total)) if have != total => Ok(End::Broken(format!("{have} of {total} bytes came"))),
        _ => Ok(End::Complete),
    }
}

/// Copies a body into the part; the reason where the connection broke.
fn copy(body: &mut impl Read, file: &mut File, part: &Path, progress: &dyn Progress) -> Attempt<Option<String>> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        if progress.cancelled() {
            return Err(Failure::Stopped);
        }
        match body.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(read) => {
                file.write_all(&buffer[..read]).at(part)?;
                progress.advance(read as u64);
            }
            Err(error) => return Ok(Some(format!("the connection broke after {} bytes: {error}", length(part)))),
        }
    }
}

/// First byte, where the answer has one, and total length, where the server knows it, of `Content-Range`
/// (RFC 9110, 14.4): `bytes 100-199/1000`, `bytes 100-199/*` or `bytes */1000`.
fn content_range(headers: &HeaderMap) -> Option<(Option<u64>, Option<u64>)> {
    let value = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-').and_then(|(start, _)| start.parse().ok());
    Some((start, total.parse().ok()))
}

/// Whether the connection was there and broke, rather than never came to be.
fn broke(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof, WouldBlock};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut | UnexpectedEof | WouldBlock)
}

fn pause(duration: Duration, progress: &dyn Progress) -> Attempt<()> {
    let until = Instant::now() + duration;
    while Instant::now() < until {
        if progress.cancelled() {
            return Err(Failure::Stopped);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

//! A server on 127.0.0.1 with the manners, good and bad, that servers have.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the server does with requests for one path.
#[derive(Clone, Copy, PartialEq)]
pub enum Manner {
    /// Serves ranges.
    Ranges,
    /// Ignores ranges.
    Whole,
    /// Closes the connection after this many bytes of the first answer, then serves ranges.
    CutOnce(usize),
    /// Closes every connection after this many bytes of the file, and ignores ranges.
    CutAlways(usize),
    /// Answers with this status.
    Status(u16),
}

/// A server on 127.0.0.1 that serves one file and notes the `Range` header of every request.
pub struct Server {
    port: u16,
    ranges: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn start(content: Vec<u8>, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let seen = ranges.clone();
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                answer(stream.unwrap(), &content, manner, number, &seen);
            }
        });
        Server { port, ranges }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/data", self.port)
    }

    pub fn ranges(&self) -> Vec<String> {
        self.ranges.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, content: &[u8], manner: Manner, number: usize, seen: &Mutex<Vec<String>>) {
    let mut range = String::new();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("range")
        {
            range = value.trim().to_owned();
        }
    }
    seen.lock().unwrap().push(range.clone());
    if let Manner::Status(status) = manner {
        let _ = write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    }
    let ranged = matches!(manner, Manner::Ranges | Manner::CutOnce(_));
    let start: Option<usize> =
        range.strip_prefix("bytes=").and_then(|r| r.strip_suffix('-')).map(|n| n.parse().unwrap());
    let total = content.len();
    let (head, body) = match start.filter(|_| ranged) {
        Some(start) if start >= total => {
            (format!("HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{total}\r\n"), &content[..0])
        }
        Some(start) => {
            let last = total - 1;
            (
                format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{last}/{total}\r\n"),
                &content[start..],
            )
        }
        None => ("HTTP/1.1 200 OK\r\n".to_owned(), content),
    };
    let sent = match manner {
        Manner::CutOnce(cut) if number == 0 => &body[..cut],
        Manner::CutAlways(cut) => &body[..cut],
        _ => body,
    };
    let _ = write!(stream, "{head}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(sent);
}

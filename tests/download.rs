//! Data sets: cards, the HTTP source against a local server, and unpacking. Nothing here needs a network.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use megabyte::data::download::{Card, Outcome, card, digest, download};
use megabyte::progress::{Progress, Quiet};
use sha2::{Digest, Sha256};

/// What the server does with requests for one path.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
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
struct Server {
    port: u16,
    ranges: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(content: Vec<u8>, manner: Manner) -> Self {
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

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/data", self.port)
    }

    fn ranges(&self) -> Vec<String> {
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

/// Bytes that no test could expect by chance.
fn content(length: usize) -> Vec<u8> {
    (0..length as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 37) as u8).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A card whose result is one file, with `download` entries as given.
fn card(bytes: u64, sha256: &str, folder: bool, download: &str) -> Card {
    Card::parse(&format!(
        r#"
        name = "data"
        title = "a data set"
        modality = "text"
        what = "bytes"
        items = 1
        bytes = {bytes}
        folder = {folder}
        sha256 = "{sha256}"
        licence = "none"
        attribution = "nobody"
        homepage = "http://127.0.0.1/"
        url = "http://127.0.0.1/"
        split = "none"
        {download}
        "#
    ))
    .unwrap()
}

fn plain(content: &[u8], url: &str) -> Card {
    let digest = sha256(content);
    let download = format!("[[download]]\nurl = \"{url}\"\nfile = \"data.bin\"\nsha256 = \"{digest}\"");
    card(content.len() as u64, &digest, false, &download)
}

fn error(card: &Card, out: &Path) -> String {
    download(card, out, &Quiet).unwrap_err().to_string()
}

#[test]
fn fetches_a_file_and_leaves_nothing_else() {
    let content = content(300_000);
    let server = Server::start(content.clone(), Manner::Ranges);
    let out = tempfile::tempdir().unwrap();
    let card = plain(&content, &server.url());

    let outcome = download(&card, out.path(), &Quiet).unwrap();
    assert_eq!(outcome, Outcome::Fetched(out.path().join("data")));
    assert_eq!(fs::read(out.path().join("data")).unwrap(), content);
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1, "the partial folder is gone");

    let outcome = download(&card, out.path(), &Quiet).unwrap();
    assert_eq!(outcome, Outcome::AlreadyThere(out.path().join("data")));
    assert_eq!(server.ranges(), [""], "the second call asked for nothing");
}

#[test]
fn resumes_with_a_range() {
    let content = content(200_000);
    let server = Server::start(content.clone(), Manner::Ranges);
    let out = tempfile::tempdir().unwrap();
    let partial = out.path().join(".partial/data");
    fs::create_dir_all(&partial).unwrap();
    fs::write(partial.join("data.bin.part"), &content[..123_456]).unwrap();

    download(&plain(&content, &server.url()), out.path(), &Quiet).unwrap();
    assert_eq!(server.ranges(), ["bytes=123456-"]);
    assert_eq!(fs::read(out.path().join("data")).unwrap(), content);
}

#[test]
fn a_complete_part_is_recognised() {
    let content = content(1000);
    let server = Server::start(content.clone(), Manner::Ranges);
    let out = tempfile::tempdir().unwrap();
    let partial = out.path().join(".partial/data");
    fs::create_dir_all(&partial).unwrap();
    fs::write(partial.join("data.bin.part"), &content).unwrap();

    download(&plain(&content, &server.url()), out.path(), &Quiet).unwrap();
    assert_eq!(server.ranges(), ["bytes=1000-"]);
}

#[test]
fn a_part_longer_than_the_file_is_thrown_away() {
    let content = content(1000);
    let server = Server::start(content.clone(), Manner::Ranges);
    let out = tempfile::tempdir().unwrap();
    let partial = out.path().join(".partial/data");
    fs::create_dir_all(&partial).unwrap();
    fs::write(partial.join("data.bin.part"), vec![7; 1500]).unwrap();

    download(&plain(&content, &server.url()), out.path(), &Quiet).unwrap();
    assert_eq!(server.ranges(), ["bytes=1500-", ""]);
    assert_eq!(fs::read(out.path().join("data")).unwrap(), content);
}

#[test]
fn begins_anew_where_the_server_knows_no_ranges() {
    let content = content(200_000);
    let server = Server::start(content.clone(), Manner::Whole);
    let out = tempfile::tempdir().unwrap();
    let partial = out.path().join(".partial/data");
    fs::create_dir_all(&partial).unwrap();
    fs::write(partial.join("data.bin.part"), vec![7; 150_000]).unwrap();

    download(&plain(&content, &server.url()), out.path(), &Quiet).unwrap();
    assert_eq!(server.ranges(), ["bytes=150000-"]);
    assert_eq!(fs::read(out.path().join("data")).unwrap(), content);
}

#[test]
fn goes_on_after_a_broken_connection() {
    let content = content(200_000);
    let server = Server::start(content.clone(), Manner::CutOnce(90_000));
    let out = tempfile::tempdir().unwrap();

    download(&plain(&content, &server.url()), out.path(), &Quiet).unwrap();
    let ranges = server.ranges();
    assert_eq!(ranges.len(), 2);
    // What was under way when the connection closed may be lost, but not all of it.
    let resumed: usize = ranges[1].strip_prefix("bytes=").unwrap().trim_end_matches('-').parse().unwrap();
    assert!((1..=90_000).contains(&resumed), "{resumed}");
    assert_eq!(fs::read(out.path().join("data")).unwrap(), content);
}

#[test]
fn gives_up_on_a_server_that_always_breaks_and_keeps_the_part() {
    let content = content(200_000);
    let server = Server::start(content.clone(), Manner::CutAlways(50_000));
    let out = tempfile::tempdir().unwrap();

    let message = error(&plain(&content, &server.url()), out.path());
    assert!(message.contains("3 times"), "{message}");
    let part = fs::read(out.path().join(".partial/data/data.bin.part")).unwrap();
    assert!(!part.is_empty() && content.starts_with(&part));
    assert!(!out.path().join("data").exists());
}

#[test]
fn a_wrong_checksum_names_both_digests_and_keeps_the_file_out() {
    let content = content(5000);
    let mut other = content.clone();
    other[2500] ^= 1;
    let server = Server::start(other.clone(), Manner::Ranges);
    let out = tempfile::tempdir().unwrap();

    let message = error(&plain(&content, &server.url()), out.path());
    assert!(message.contains(&sha256(&content)) && message.contains(&sha256(&other)), "{message}");
    assert!(!out.path().join("data").exists());
    let partial = out.path().join(".partial/data");
    assert!(!partial.join("data.bin").exists());
    assert_eq!(fs::read(partial.join("data.bin.bad")).unwrap(), other);
}

#[test]
fn a_wrong_result_is_kept_out_and_fetched_anew_next_time() {
    let content = content(5000);
    let server = Server::start(content[1..].to_vec(), Manner::Ranges);
    let out = tempfile::tempdir().unwrap();
    let download_entry = format!("[[download]]\nurl = \"{}\"\nfile = \"data.bin\"", server.url());
    let card = card(5000, &sha256(&content), false, &download_entry);

    for requests in 1..=2 {
        let message = error(&card, out.path());
        assert!(message.contains(&sha256(&content)) && message.contains(&sha256(&content[1..])), "{message}");
        assert!(!out.path().join("data").exists());
        assert_eq!(server.ranges().len(), requests);
    }
}

#[test]
fn a_missing_file_and_a_missing_server_say_what_to_do_by_hand() {
    let content = content(100);
    let out = tempfile::tempdir().unwrap();
    let server = Server::start(Vec::new(), Manner::Status(404));
    let message = error(&plain(&content, &server.url()), out.path());
    assert!(message.contains("404"), "{message}");
    assert_eq!(server.ranges().len(), 1, "a file that is not there is asked for once");

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{free}/data");
    let message = error(&plain(&content, &url), out.path());
    let partial = out.path().join(".partial/data");
    for part in [&url, "refused", "data.bin", &sha256(&content), partial.to_str().unwrap()] {
        assert!(message.contains(part), "{part}: {message}");
    }

    // A person does what the message says.
    fs::write(partial.join("data.bin"), &content).unwrap();
    download(&plain(&content, &url), out.path(), &Quiet).unwrap();
    assert_eq!(fs::read(out.path().join("data")).unwrap(), content);
}

#[test]
fn a_busy_server_is_asked_again() {
    let server = Server::start(Vec::new(), Manner::Status(503));
    let out = tempfile::tempdir().unwrap();
    let message = error(&plain(b"x", &server.url()), out.path());
    assert!(message.contains("503"), "{message}");
    assert_eq!(server.ranges().len(), 3);
}

#[test]
fn something_else_at_the_target_is_left_alone() {
    let content = content(100);
    let server = Server::start(content.clone(), Manner::Ranges);
    let out = tempfile::tempdir().unwrap();
    fs::write(out.path().join("data"), "mine").unwrap();
    let message = error(&plain(&content, &server.url()), out.path());
    assert!(message.contains(&sha256(b"mine")) && message.contains(&sha256(&content)), "{message}");
    assert_eq!(fs::read(out.path().join("data")).unwrap(), b"mine");
    assert!(server.ranges().is_empty());
}

/// Asks to stop once this many bytes are done.
struct StopAfter(u64, AtomicU64);

impl Progress for StopAfter {
    fn start(&self, _stage: &str, _total: u64) {}
    fn advance(&self, done: u64) {
        self.1.fetch_add(done, Ordering::Relaxed);
    }
    fn note(&self, _message: &str) {}
    fn cancelled(&self) -> bool {
        self.1.load(Ordering::Relaxed) >= self.0
    }
}

#[test]
fn a_stopped_download_goes_on_where_it_was() {
    let content = content(1_000_000);
    let server = Server::start(content.clone(), Manner::Ranges);
    let out = tempfile::tempdir().unwrap();
    let card = plain(&content, &server.url());
    let stop = StopAfter(200_000, AtomicU64::new(0));
    assert_eq!(download(&card, out.path(), &stop).unwrap(), Outcome::Stopped);
    let part = fs::metadata(out.path().join(".partial/data/data.bin.part")).unwrap().len();
    assert!((200_000..1_000_000).contains(&part), "{part}");

    download(&card, out.path(), &Quiet).unwrap();
    assert_eq!(server.ranges(), [String::new(), format!("bytes={part}-")]);
    assert_eq!(fs::read(out.path().join("data")).unwrap(), content);
}

/// A gzip-compressed tar archive. Names are written as they are, hostile ones too.
fn tar_gz(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn gz(content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzEncoder::new(content, flate2::Compression::fast()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// The manifest digest that a card states, from names and contents.
fn manifest(files: &[(&str, &[u8])]) -> String {
    let sorted: std::collections::BTreeMap<_, _> = files.iter().copied().collect();
    let lines: String = sorted.iter().map(|(name, content)| format!("{}  {name}\n", sha256(content))).collect();
    sha256(lines.as_bytes())
}

/// Downloads an archive that a server has, and says what came of it.
fn unpack(archive: Vec<u8>, expected: &[(&str, &[u8])], folder: bool, how: &str) -> Result<tempfile::TempDir, String> {
    let server = Server::start(archive, Manner::Ranges);
    let bytes = expected.iter().map(|(_, content)| content.len() as u64).sum();
    let digest = if folder { manifest(expected) } else { sha256(expected[0].1) };
    let entry = format!("[[download]]\nurl = \"{}\"\nfile = \"archive.gz\"\n{how}", server.url());
    let out = tempfile::tempdir().unwrap();
    match download(&card(bytes, &digest, folder, &entry), out.path(), &Quiet) {
        Ok(_) => Ok(out),
        Err(error) => {
            assert!(!out.path().join("data").exists());
            Err(error.to_string())
        }
    }
}

#[test]
fn takes_only_the_wanted_files_and_drops_the_fixed_folders() {
    let files: [(&str, &[u8]); 4] =
        [("p/a/one.txt", b"one"), ("p/a/b/two.txt", b"second"), ("p/a/other.bin", b"no"), ("q/one.txt", b"no")];
    let how = "unpack = [\"tar.gz\"]\nmember = \"p/a/**/*.txt\"";
    let out = unpack(tar_gz(&files), &[("one.txt", b"one"), ("b/two.txt", b"second")], true, how).unwrap();
    assert_eq!(fs::read(out.path().join("data/one.txt")).unwrap(), b"one");
    assert_eq!(fs::read(out.path().join("data/b/two.txt")).unwrap(), b"second");
    assert_eq!(fs::read_dir(out.path().join("data")).unwrap().count(), 2);
}

#[test]
fn opens_gzip_inside_tar_and_alone() {
    let inner = gz(b"content");
    let how = "unpack = [\"tar.gz\", \"gz\"]\nmember = \"p/data.gz\"";
    let out = unpack(tar_gz(&[("p/data.gz", &inner)]), &[("data", b"content")], false, how).unwrap();
    assert_eq!(fs::read(out.path().join("data")).unwrap(), b"content");
    let out = unpack(gz(b"content"), &[("archive", b"content")], true, "unpack = [\"gz\"]").unwrap();
    assert_eq!(fs::read(out.path().join("data/archive")).unwrap(), b"content");
}

#[test]
fn opens_zip() {
    let text: Vec<u8> = b"the same again and ".repeat(50);
    let mut deflated = Vec::new();
    flate2::read::DeflateEncoder::new(&text[..], flate2::Compression::best()).read_to_end(&mut deflated).unwrap();
    let archive = zip(&[("p/stored", 0, b"as it is"), ("p/deflated", 8, &deflated), ("p/", 0, b"")]);
    let how = "unpack = [\"zip\"]\nmember = \"p/*\"";
    let out = unpack(archive.clone(), &[("stored", b"as it is"), ("deflated", &text)], true, how).unwrap();
    assert_eq!(fs::read(out.path().join("data/deflated")).unwrap(), text);

    let message = unpack(archive[..archive.len() - 30].to_vec(), &[("stored", b"as it is")], true, how).unwrap_err();
    assert!(message.contains("not a zip archive"), "{message}");
}

/// A zip archive of name, method and compressed content. Sizes are real, checksums are zero (nothing reads them).
fn zip(files: &[(&str, u16, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, method, content) in files {
        let offset = bytes.len() as u32;
        let mut common = vec![20, 0, 0, 0];
        common.extend(method.to_le_bytes());
        common.extend([0; 8]);
        common.extend((content.len() as u32).to_le_bytes());
        common.extend([0; 4]);
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0; 2]);
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&common);
        bytes.extend(name.as_bytes());
        bytes.extend(*content);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let offset = bytes.len() as u32;
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend((files.len() as u16).to_le_bytes());
    bytes.extend((files.len() as u16).to_le_bytes());
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes.extend([0; 2]);
    bytes
}

#[test]
fn refuses_names_that_lead_out_of_the_folder() {
    let how = "unpack = [\"tar.gz\"]\nmember = \"**/*.txt\"";
    for name in ["../evil.txt", "p/../../evil.txt", "/evil.txt"] {
        let message = unpack(tar_gz(&[(name, b"evil")]), &[("evil.txt", b"evil")], true, how).unwrap_err();
        assert!(message.contains("leads out of the folder"), "{name}: {message}");
    }
}

#[test]
fn refuses_links() {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "a.txt", "/etc/hostname").unwrap();
    let archive = builder.into_inner().unwrap().finish().unwrap();
    let how = "unpack = [\"tar.gz\"]\nmember = \"*.txt\"";
    let message = unpack(archive, &[("a.txt", b"")], true, how).unwrap_err();
    assert!(message.contains("link"), "{message}");
}

#[test]
fn refuses_more_than_the_card_states() {
    let how = "unpack = [\"gz\"]";
    let bomb = gz(&vec![0; 10_000_000]);
    let message = unpack(bomb, &[("archive", b"small")], true, how).unwrap_err();
    assert!(message.contains("more than the 5 bytes"), "{message}");
}

#[test]
fn a_damaged_archive_and_one_without_the_member_are_errors() {
    let how = "unpack = [\"tar.gz\"]\nmember = \"*.txt\"";
    let whole = tar_gz(&[("a.txt", &content(100_000))]);
    let message = unpack(whole[..whole.len() / 2].to_vec(), &[("a.txt", &content(100_000))], true, how).unwrap_err();
    assert!(message.contains("damaged or cut off"), "{message}");
    let message = unpack(tar_gz(&[("b.bin", b"b")]), &[("a.txt", b"")], true, how).unwrap_err();
    assert!(message.contains("nothing that matches *.txt"), "{message}");
}

#[test]
fn a_folder_digest_sees_names_and_contents() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("b")).unwrap();
    fs::write(folder.path().join("b/two"), "2").unwrap();
    fs::write(folder.path().join("a"), "1").unwrap();
    let expected = manifest(&[("a", b"1"), ("b/two", b"2")]);
    assert_eq!(digest::folder(folder.path()).unwrap(), expected);
    fs::rename(folder.path().join("a"), folder.path().join("c")).unwrap();
    assert_ne!(digest::folder(folder.path()).unwrap(), expected);
}

#[test]
fn cards_that_make_no_sense_are_refused() {
    let good = fs::read_to_string("datasets/enwik8.toml").unwrap();
    assert!(Card::parse(&good).is_ok());
    let changes = [
        ("name = \"enwik8\"", "name = \"../enwik8\"", "plain file name"),
        ("file = \"enwik8.zip\"", "file = \"a/b.zip\"", "plain file name"),
        ("unpack = [\"zip\"]", "unpack = [\"gz\", \"zip\"]", "download.unpack"),
        ("member = \"enwik8\"\n", "", "member"),
        ("licence =", "license =", "license"),
        ("sha256 = \"2b49", "sha256 = \"2B49", "hexadecimal"),
    ];
    for (from, to, expected) in changes {
        assert!(good.contains(from), "{from}");
        let message = Card::parse(&good.replace(from, to)).unwrap_err();
        assert!(message.contains(expected), "{to}: {message}");
    }
}

#[test]
fn every_committed_card_is_complete() {
    let mut names = HashMap::new();
    for entry in fs::read_dir("datasets").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let card = Card::load(&path).unwrap();
        assert_eq!(path.file_stem().unwrap().to_str().unwrap(), card.name);
        let Card { title, what, licence, attribution, homepage, url, split, .. } = &card;
        for text in [title, what, licence, attribution, homepage, url, split] {
            assert!(!text.trim().is_empty(), "{}", card.name);
        }
        assert!(homepage.starts_with("https://") && url.starts_with("http"), "{}", card.name);
        assert!(card.items > 0 && card.bytes > 0, "{}", card.name);
        let package = card.package.as_ref().expect("the demo relies on packages");
        assert!(package.file.contains(&package.version), "{}", card.name);
        names.insert(card.name.clone(), card);
    }
    for name in ["enwik8", "twemoji", "mnist", "cifar10", "piano", "asterisk"] {
        assert!(names.contains_key(name), "{name}");
    }
}

#[test]
fn an_unknown_card_lists_the_known_ones() {
    let message = card::find("nothing").unwrap_err().to_string();
    assert!(message.contains("nothing") && message.contains("enwik8") && message.contains("twemoji"), "{message}");
    assert!(card::find("./nothing.toml").unwrap_err().to_string().contains("nothing.toml"));
    assert_eq!(card::find("datasets/piano.toml").unwrap().name, "piano");
    assert_eq!(card::find("piano").unwrap().name, "piano");
}

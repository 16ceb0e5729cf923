//! Fetching by HTTP: fresh, resumed, broken, refused, stopped.

use std::fs;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};

use megabyte::data::download::{Outcome, download};
use megabyte::progress::{Progress, Quiet};

use super::server::{Manner, Server};
use super::{card, content, error, plain, sha256};

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

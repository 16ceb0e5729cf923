//! Batches: what an epoch holds, and that they depend on seed and index alone.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use megabyte::data::{Batch, Dataset, Loader, LoaderConfig, Mixture, PAD, Permutation, Sampler};
use megabyte::modality::{AudioFormat, AudioLayout, ImageLayout, Layout, TextLayout};
use proptest::prelude::*;

use super::{noise, write};

/// A data set of texts in memory.
fn dataset(folder: &Path, texts: &[Vec<u8>]) -> Arc<Dataset> {
    let files: Vec<_> = texts.iter().enumerate().map(|(i, text)| write(folder, &format!("{i:04}"), text)).collect();
    Arc::new(Dataset::from_files(&files, &Layout::Text(TextLayout::default())).unwrap())
}

fn config(context: usize, rows: usize, vocab: usize) -> LoaderConfig {
    LoaderConfig::new(context, rows, vocab, 7)
}

/// A loader of one data set.
fn loader(data: &Arc<Dataset>, config: LoaderConfig, from: u64, threads: usize) -> megabyte::Result<Loader> {
    let sampler = Sampler::new(Arc::clone(data), config)?;
    Loader::new(Mixture::new(vec![(sampler, 1.0)], config.seed)?, from, threads)
}

fn rows(batch: &Batch) -> impl Iterator<Item = &[i16]> {
    assert_eq!(batch.symbols.len(), batch.rows * batch.cols);
    batch.symbols.chunks(batch.cols)
}

/// The stream as it should be.
fn stream(texts: &[Vec<u8>], vocab: usize) -> Vec<i16> {
    let mut symbols = Vec::new();
    for text in texts {
        symbols.extend(text.iter().map(|&byte| i16::from(byte)));
        symbols.extend((vocab == 257).then_some(256));
    }
    symbols
}

/// How often each position of the stream is shown in an epoch, and where its windows start, in order.
fn coverage(stream: &[i16], sampler: &Sampler, epoch: u64, context: usize) -> (Vec<usize>, Vec<usize>) {
    let at = |start: usize| (0..context).map(|i| stream[(start + i) % stream.len()]).collect::<Vec<_>>();
    let places: HashMap<_, _> = (0..stream.len()).map(|start| (at(start), start)).collect();
    assert_eq!(places.len(), stream.len(), "every window of the test's stream is another");
    let mut times = vec![0; stream.len()];
    let mut starts = Vec::new();
    let n = sampler.epoch_len();
    for index in epoch * n..(epoch + 1) * n {
        let batch = sampler.batch(index).unwrap();
        let start = *places.get(&batch.symbols).expect("a window of the stream");
        starts.push(start);
        (0..context).for_each(|i| times[(start + i) % stream.len()] += 1);
    }
    (times, starts)
}

#[test]
fn an_epoch_shows_every_symbol_once() {
    let folder = tempfile::tempdir().unwrap();
    // 20 documents of 31 bytes and an end each: 640 symbols, 40 windows of 16.
    let texts: Vec<_> = (0..20).map(|i| noise(31, i)).collect();
    let data = dataset(folder.path(), &texts);
    let sampler = Sampler::new(data, config(16, 1, 257)).unwrap();
    assert_eq!(sampler.epoch_len(), 40);
    let stream = stream(&texts, 257);
    let mut orders = HashSet::new();
    let mut phases = HashSet::new();
    for epoch in 0..6 {
        let (times, starts) = coverage(&stream, &sampler, epoch, 16);
        assert!(times.iter().all(|&times| times == 1), "epoch {epoch}: {times:?}");
        assert!(!starts.is_sorted(), "epoch {epoch} is shuffled");
        phases.insert(starts[0] % 16);
        orders.insert(starts);
    }
    assert_eq!(orders.len(), 6, "every epoch has an order of its own");
    assert!(phases.len() > 1, "windows start elsewhere in another epoch");
}

#[test]
fn windows_of_sound_begin_between_frames() {
    // High bytes are 1, low bytes 0.
    let layout = Layout::Audio(AudioLayout { format: AudioFormat::Pcm16be, ..AudioLayout::default() });
    let data = Arc::new(Dataset::from_memory(vec![[1, 0].repeat(999), [1, 0].repeat(35)], &layout));
    let sampler = Sampler::new(Arc::clone(&data), config(16, 1, 256)).unwrap();
    // Twenty epochs, so that twenty phases.
    for index in 0..20 * sampler.epoch_len() {
        assert_eq!(sampler.batch(index).unwrap().symbols, [1, 0].repeat(8), "batch {index}");
    }
    let error = Sampler::new(data, config(15, 1, 256)).unwrap_err().to_string();
    assert!(error.contains("model.context") && error.contains("2 bytes"), "{error}");
}

#[test]
fn where_windows_do_not_fit_fewer_than_one_is_shown_twice() {
    let folder = tempfile::tempdir().unwrap();
    let texts = [noise(333, 1), noise(1, 2), noise(100, 3)];
    let data = dataset(folder.path(), &texts);
    let sampler = Sampler::new(data, config(16, 1, 256)).unwrap();
    assert_eq!(sampler.epoch_len(), 28);
    for epoch in 0..4 {
        let (times, _) = coverage(&stream(&texts, 256), &sampler, epoch, 16);
        assert!(times.iter().all(|times| (1..=2).contains(times)), "{times:?}");
        assert_eq!(times.iter().sum::<usize>(), 28 * 16);
    }
}

#[test]
fn documents_end_with_a_symbol_where_the_vocabulary_has_one() {
    let folder = tempfile::tempdir().unwrap();
    let texts = [b"abc".to_vec(), b"d".to_vec(), b"ef".to_vec()];
    let data = dataset(folder.path(), &texts);
    let batch = |vocab, context| Sampler::new(data.clone(), config(context, 1, vocab)).unwrap().batch(3).unwrap();
    let [a, b, c, d, e, f] = [97, 98, 99, 100, 101, 102];
    assert_eq!(batch(257, 12).symbols, [a, b, c, 256, d, 256, e, f, 256, PAD, PAD, PAD]);
    assert_eq!(batch(256, 8).symbols, [a, b, c, d, e, f, PAD, PAD]);
    assert_eq!(batch(257, 9).symbols, [a, b, c, 256, d, 256, e, f, 256]);
    let two = Sampler::new(data.clone(), config(10, 2, 257)).unwrap().batch(0).unwrap();
    assert!(rows(&two).all(|row| row == [a, b, c, 256, d, 256, e, f, 256, PAD]));
}

#[test]
fn a_batch_depends_on_seed_and_index_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = dataset(folder.path(), &[noise(5000, 1), noise(77, 2)]);
    let take = |config: LoaderConfig, from: u64, count: usize| {
        let mut loader = loader(&data, config, from, 1 + count % 3).unwrap();
        (0..count).map(|_| loader.next().unwrap()).collect::<Vec<_>>()
    };
    let config = config(64, 3, 257);
    let all = take(config, 0, 60);
    assert_eq!(take(config, 0, 60), all);
    for k in [1, 7, 26, 27, 53] {
        assert_eq!(take(config, k, 5), all[k as usize..k as usize + 5], "continued at batch {k}");
    }
    assert_ne!(take(LoaderConfig { seed: 8, ..config }, 0, 60), all);
    // The order of sequences is one of the run's, not of the batch's: twice the rows, the same sequences.
    let wide = take(LoaderConfig { rows: 6, ..config }, 0, 30);
    let flat = |batches: &[Batch]| batches.iter().flat_map(rows).map(<[i16]>::to_vec).collect::<Vec<_>>();
    assert_eq!(flat(&wide), flat(&all));
}

#[test]
fn origins_are_where_the_rows_begin() {
    let folder = tempfile::tempdir().unwrap();
    let texts: Vec<_> = (0..9).map(|i| noise(20 + 7 * i as usize, i)).collect();
    let texts = dataset(folder.path(), &texts);
    let pictures = ImageLayout { width: 4, height: 4, patch: 2, ..ImageLayout::default() };
    let pixels = (0..5).map(|i| noise(48, 50 + i)).collect();
    let pictures = Arc::new(Dataset::from_memory(pixels, &Layout::Image(pictures)));
    for (data, context, vocab) in [(texts, 16, 257), (pictures, 24, 256)] {
        let sampler = Sampler::new(Arc::clone(&data), config(context, 3, vocab)).unwrap();
        let mut items = HashSet::new();
        for index in 0..40 {
            let (origins, batch) = (sampler.origins(index).unwrap(), sampler.batch(index).unwrap());
            for ((row, origin), i) in rows(&batch).zip(origins).zip(index * 3..) {
                assert_eq!(origin.epoch, i / sampler.epoch_len());
                let bytes = &data.item(origin.item as usize).bytes[origin.byte as usize..];
                let count = bytes.len().min(context);
                assert!(row[..count].iter().zip(bytes).all(|(&symbol, &byte)| symbol == i16::from(byte)), "row {i}");
                // Behind the item there is its end, if anything.
                assert!(count == context || vocab == 256 || row[count] == 256);
                items.insert(origin.item);
            }
        }
        assert_eq!(items.len(), data.len(), "all of them were met");
    }
}

#[test]
fn a_loader_that_is_dropped_stops() {
    fn shared<T: Send + Sync>(_: &T) {}
    let folder = tempfile::tempdir().unwrap();
    let data = dataset(folder.path(), &[noise(5000, 1)]);
    shared(&data);
    let mut some = loader(&data, config(16, 2, 256), 0, 3).unwrap();
    some.next().unwrap();
    drop(some);
    assert_eq!(Arc::strong_count(&data), 1, "its threads are gone");
    let mut end = loader(&data, config(16, 2, 256), u64::MAX, 1).unwrap();
    assert!(end.next().is_err(), "there is no such batch");
    assert!(end.next().is_err(), "and none after it");
}

#[test]
fn what_can_not_work_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = |data: Arc<Dataset>, config| loader(&data, config, 0, 1).unwrap_err().to_string();
    let none = Arc::new(Dataset::from_files(&[], &Layout::Text(TextLayout::default())).unwrap());
    assert!(none.is_empty());
    assert!(error(none, config(16, 1, 256)).contains("no items"));
    let data = dataset(folder.path(), &[noise(100, 1)]);
    assert!(error(data.clone(), config(0, 1, 256)).contains("model.context"));
    assert!(error(data.clone(), config(16, 0, 256)).contains("train.micro_batch"));
    assert!(error(data.clone(), config(16, 1, 300)).contains("model.vocab"));
    assert!(error(data.clone(), LoaderConfig { rank: 2, world: 2, ..config(16, 1, 256) }).contains("rank 2 of 2"));
    assert!(loader(&data, config(16, 1, 256), 0, 0).unwrap_err().to_string().contains("train.loader_threads"));
    let flipped = Sampler::new(data.clone(), config(16, 1, 256)).unwrap().mirrored().unwrap_err().to_string();
    assert!(flipped.contains("data.flip") && flipped.contains("text"), "{flipped}");
    for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let sampler = Sampler::new(data.clone(), config(16, 1, 256)).unwrap();
        assert!(Mixture::new(vec![(sampler, weight)], 0).unwrap_err().to_string().contains("data.weight"));
    }
    assert!(Mixture::new(Vec::new(), 0).is_err());
}

#[test]
fn a_picture_is_a_sequence() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::Image(ImageLayout { width: 4, height: 4, patch: 2, ..Default::default() });
    let adapter = layout.adapter();
    let pictures: Vec<_> = (0..11).map(|i| noise(48, i)).collect();
    let files: Vec<_> = pictures
        .iter()
        .enumerate()
        .map(|(i, bytes)| write(folder.path(), &format!("{i}.png"), adapter.decode(bytes).unwrap()))
        .collect();
    let data = Arc::new(Dataset::from_files(&files, &layout).unwrap());
    let sampler = Sampler::new(data.clone(), config(48, 1, 256)).unwrap();
    assert_eq!(sampler.epoch_len(), 11);
    let expected: HashSet<Vec<i16>> =
        pictures.iter().map(|bytes| bytes.iter().map(|&byte| i16::from(byte)).collect()).collect();
    let epoch = |epoch: u64| (0..11).map(|i| sampler.batch(epoch * 11 + i).unwrap().symbols).collect::<Vec<_>>();
    for e in 0..3 {
        assert_eq!(epoch(e).into_iter().collect::<HashSet<_>>(), expected, "every picture once in epoch {e}");
    }
    assert_ne!(epoch(0), epoch(1));
    let error = Sampler::new(data, config(96, 1, 256)).unwrap_err().to_string();
    assert!(error.contains("model.context") && error.contains("48"), "{error}");
}

#[test]
fn programs_that_train_together_share_the_sequences() {
    let folder = tempfile::tempdir().unwrap();
    let data = dataset(folder.path(), &[noise(5000, 1), noise(77, 2)]);
    let alone = Sampler::new(data.clone(), config(64, 6, 257)).unwrap();
    let part = |rank| Sampler::new(data.clone(), LoaderConfig { rank, world: 3, ..config(64, 2, 257) }).unwrap();
    let parts = [0, 1, 2].map(part);
    for index in [0, 1, 30, 1000] {
        let together: Vec<i16> = parts.iter().flat_map(|part| part.batch(index).unwrap().symbols).collect();
        assert_eq!(together, alone.batch(index).unwrap().symbols, "batch {index}");
    }
}

#[test]
fn half_of_the_pictures_are_turned_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::Image(ImageLayout { width: 4, height: 4, patch: 2, ..Default::default() });
    let adapter = layout.adapter();
    let pictures: Vec<_> = (0..50).map(|i| noise(48, i)).collect();
    let file =
        |(i, bytes): (usize, &Vec<u8>)| write(folder.path(), &format!("{i}.png"), adapter.decode(bytes).unwrap());
    let files: Vec<_> = pictures.iter().enumerate().map(file).collect();
    let data = Arc::new(Dataset::from_files(&files, &layout).unwrap());
    let sampler = || Sampler::new(data.clone(), config(48, 1, 256)).unwrap();
    let (plain, turned) = (sampler(), sampler().mirrored().unwrap());
    let bytes = |sampler: &Sampler, i| -> Vec<u8> {
        sampler.batch(i).unwrap().symbols.iter().map(|&symbol| symbol as u8).collect()
    };
    let mut times = [0, 0];
    for i in 0..400 {
        let (plain, turned) = (bytes(&plain, i), bytes(&turned, i));
        assert_eq!(bytes(&sampler().mirrored().unwrap(), i), turned, "the same again");
        let mirrored = adapter.mirrored(&plain).unwrap();
        assert!(turned == plain || turned == mirrored);
        times[usize::from(turned == mirrored)] += 1;
    }
    // 400 throws of a coin: 200, standard deviation 10.
    assert!((140..=260).contains(&times[1]), "{times:?}");
    let again =
        |epoch: u64| (0..50).filter(|i| bytes(&plain, epoch * 50 + i) != bytes(&turned, epoch * 50 + i)).count();
    assert!((0..8).any(|epoch| again(epoch) != again(0)), "other pictures in another epoch");
}

#[test]
fn a_mixture_keeps_its_shares_and_can_be_entered_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let data: Vec<_> = (0..3).map(|i| dataset(&folder.path().join(i.to_string()), &[noise(4000, i)])).collect();
    let mixture = |weights: &[f64]| {
        let sampler = |data: &Arc<Dataset>| Sampler::new(data.clone(), config(16, 2, 257)).unwrap();
        Mixture::new(data.iter().map(sampler).zip(weights.iter().copied()).collect(), 7).unwrap()
    };
    let uneven = mixture(&[0.5, 0.3, 0.2]);
    let mut next = [0; 3];
    let mut seen = [const { Vec::new() }; 3];
    let count = 8192;
    for index in 0..count {
        let (which, place) = uneven.place(index);
        seen[which].push(place);
        next[which] += 1;
        let alone = Sampler::new(data[which].clone(), config(16, 2, 257)).unwrap();
        assert_eq!(uneven.batch(index).unwrap(), alone.batch(place).unwrap());
    }
    // Two blocks of 4,096: the shares are exact, and every batch of each data set comes once.
    assert_eq!(next, [4096, 2458, 1638]);
    for places in &mut seen {
        places.sort_unstable();
        assert!(places.iter().enumerate().all(|(i, &place)| i as u64 == place));
    }
    let order: Vec<_> = (0..count).map(|index| uneven.place(index).0).collect();
    let longest = order.chunk_by(|a, b| a == b).map(<[_]>::len).max().unwrap();
    assert!(longest < 30, "the data sets are shuffled: {longest} in a row");
    assert_ne!(order[..4096], order[4096..], "every block has an order of its own");
    // However small its weight, each has a place.
    let tiny = mixture(&[1.0, 1e-9, 1e-9]);
    assert_eq!((0..4096).filter(|&index| tiny.place(index).0 == 1).count(), 1);
}

#[test]
fn a_permutation_hits_everything_once() {
    for n in (1..300).chain([1023, 1024, 1025, 65_536, 100_003]) {
        let permutation = Permutation::new(n, 5);
        let mut hit = vec![false; n as usize];
        for i in 0..n {
            let to = permutation.get(i) as usize;
            assert!(!hit[to], "{to} of {n} is hit twice");
            hit[to] = true;
        }
    }
}

#[test]
fn a_permutation_looks_random() {
    // Where 0 goes, over many keys: each of 10 places about 1000 times, 6 standard deviations allowed.
    let mut counts = [0_i32; 10];
    (0..10_000).for_each(|key| counts[Permutation::new(10, key * 977).get(0) as usize] += 1);
    assert!(counts.iter().all(|count| (count - 1000).abs() < 180), "{counts:?}");
    // Neighbours that stay neighbours are rare.
    let permutation = Permutation::new(10_000, 3);
    let neighbours = (1..10_000).filter(|&i| permutation.get(i) == permutation.get(i - 1) + 1).count();
    assert!(neighbours < 12, "{neighbours}");
}

proptest! {
    #[test]
    fn large_permutations_stay_in_range_and_apart(n in 1..u64::MAX, key: u64, a: u64, b: u64) {
        let permutation = Permutation::new(n, key);
        let (a, b) = (a % n, b % n);
        prop_assert!(permutation.get(a) < n);
        prop_assert_eq!(permutation.get(a) == permutation.get(b), a == b);
    }
}

#[test]
fn a_picture_longer_than_the_context_is_several_sequences() {
    let layout = Layout::Image(ImageLayout { width: 4, height: 4, patch: 2, ..ImageLayout::default() });
    let pictures: Vec<Vec<u8>> = (0..5).map(|i| (0..48).map(|place| i * 48 + place).collect()).collect();
    let data = Arc::new(Dataset::from_memory(pictures.clone(), &layout));
    let sampler = Sampler::new(data, config(16, 1, 256)).unwrap();
    assert_eq!(sampler.epoch_len(), 15);
    let mut seen: Vec<Vec<u8>> = (0..15)
        .map(|index| sampler.batch(index).unwrap().symbols.into_iter().map(|symbol| symbol as u8).collect())
        .collect();
    seen.sort();
    let expected: Vec<Vec<u8>> = pictures.iter().flat_map(|picture| picture.chunks(16).map(<[u8]>::to_vec)).collect();
    assert_eq!(seen, expected);
}

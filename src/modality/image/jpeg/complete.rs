//! JPEG files that end inside of their picture (ITU-T T.81): how far they go, and a whole file of what there is.
//!
//! Decoders fill what lacks in ways of their own, or give noise, and none says where it begins. So the codes are counted
//! here, block by block, and the file is completed behind the last whole block: with blocks that repeat the colour before
//! them, and without scans of a progressive picture that are not whole.

/// What a file lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Lack {
    /// Nothing of the picture.
    Nothing,
    /// Nothing, but codes are left over behind it, so that some of it may be damaged.
    Surplus,
    /// The rows from this one on.
    Rows(u32),
    /// Scans from this one on, counted from 1: the finer detail of a progressive picture.
    Scans(usize),
}

/// A component of the picture.
#[derive(Debug, Clone, Copy, Default)]
struct Component {
    id: u8,
    /// Blocks of it in a unit, across and down.
    h: usize,
    v: usize,
    /// Its tables of codes.
    dc: usize,
    ac: usize,
}

/// The frame header.
#[derive(Debug, Default)]
struct Frame {
    width: usize,
    height: usize,
    progressive: bool,
    components: Vec<Component>,
}

/// A table of Huffman codes (ITU-T T.81, annex C): for each length the first code, how many there are, and where their
/// symbols begin.
#[derive(Debug, Clone)]
struct Codes {
    lengths: [(u32, u32, usize); 16],
    symbols: Vec<u8>,
    /// By the next bits: the length of a code that is short, and its symbol; 0 for longer ones.
    short: Vec<(u8, u8)>,
}

/// Bits of short codes.
const SHORT: u32 = 9;

/// Completes a file of the sequential or progressive kind with Huffman codes; where nothing lacks, not even its end, it
/// is not given again. Nothing where it is of another kind.
pub(in super::super) fn complete(file: &[u8]) -> Option<(Vec<u8>, Lack)> {
    let mut frame = Frame::default();
    let mut tables = [const { [const { None }; 4] }; 2];
    let mut interval = 0;
    let mut scans = 0;
    // Bits of each coefficient that are still to come, for each component.
    let mut open = [[u8::MAX; 64]; 4];
    // Where the last scan begins, if it is one that is found by its end alone.
    let mut unsure = None;
    let mut surplus = false;
    let mut at = 2;
    let done = |end: usize, lack| Some(([&file[..end], &[0xff, 0xd9]].concat(), lack));
    loop {
        let begin = at;
        while file.get(at) == Some(&0xff) && file.get(at + 1) == Some(&0xff) {
            at += 1;
        }
        let (Some(0xff), Some(&marker)) = (file.get(at).copied(), file.get(at + 1)) else {
            return if scans > 0 { done(begin, lacking(&frame, &open, scans)) } else { None };
        };
        if marker == 0xd9 {
            return match lacking(&frame, &open, scans) {
                // Where more were to come, the last one may be cut.
                Lack::Scans(next) => match unsure {
                    Some(start) => done(start, Lack::Scans(next - 1)),
                    None => done(begin, Lack::Scans(next)),
                },
                Lack::Rows(row) => done(begin, Lack::Rows(row)),
                Lack::Nothing | Lack::Surplus if surplus => Some((Vec::new(), Lack::Surplus)),
                nothing => Some((Vec::new(), nothing)),
            };
        }
        let len = file.get(at + 2..at + 4).map(|len| usize::from(u16::from_be_bytes([len[0], len[1]])));
        let Some(segment) = len.and_then(|len| file.get(at + 4..at + 2 + len)) else {
            return if scans > 0 { done(begin, lacking(&frame, &open, scans)) } else { None };
        };
        at += 4 + segment.len();
        match (marker, segment) {
            (0xc0..=0xc2, &[8, h1, h0, w1, w0, count, ref components @ ..]) => {
                let side = |high, low| usize::from(u16::from_be_bytes([high, low]));
                let of = |c: &[u8]| Component {
                    id: c[0],
                    h: usize::from(c[1] >> 4),
                    v: usize::from(c[1] & 15),
                    dc: 0,
                    ac: 0,
                };
                let components: Vec<_> = components.chunks_exact(3).take(count.into()).map(of).collect();
                // A second frame would be of another picture.
                if !frame.components.is_empty() {
                    return None;
                }
                let sound = |c: &Component| (1..=4).contains(&c.h) && (1..=4).contains(&c.v);
                if components.is_empty() || components.len() > 4 || !components.iter().all(sound) {
                    return None;
                }
                frame = Frame { width: side(w1, w0), height: side(h1, h0), progressive: marker == 0xc2, components };
            }
            // Other kinds: lossless, differential, arithmetic codes.
            (0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf, _) => return None,
            (0xc4, tables_of) => read_tables(tables_of, &mut tables)?,
            (0xdd, &[high, low, ..]) => interval = usize::from(u16::from_be_bytes([high, low])),
            (0xda, &[count, ref rest @ ..]) => {
                scans += 1;
                let chosen = rest.get(..2 * usize::from(count))?;
                let [first, last, approximation] = *rest.get(2 * usize::from(count)..)?.first_chunk()?;
                let mut components = Vec::new();
                for chosen in chosen.chunks_exact(2) {
                    let (i, known) = frame.components.iter().enumerate().find(|(_, c)| c.id == chosen[0])?;
                    if frame.progressive {
                        open[i].get_mut(first.into()..=last.into())?.fill(approximation & 15);
                    } else {
                        open[i].fill(0);
                    }
                    components.push(Component {
                        dc: (chosen[1] >> 4 & 3).into(),
                        ac: (chosen[1] & 3).into(),
                        ..*known
                    });
                }
                // What refines is found by its end alone.
                let dc_alone = frame.progressive && first == 0 && last == 0 && approximation >> 4 == 0;
                if !frame.progressive || dc_alone {
                    let scan = Scan { frame: &frame, components, tables: &tables, interval, dc_alone };
                    let (end, whole, missing, left_over) = scan.count(file, at)?;
                    surplus |= left_over;
                    if let Some(row) = missing {
                        // Where each component has a scan of its own, the others are lost as a whole.
                        let row = if scan.components.len() < frame.components.len() { 0 } else { row };
                        return Some(([&file[..at], &whole, &[0xff, 0xd9]].concat(), Lack::Rows(row)));
                    }
                    at = end;
                    unsure = None;
                } else {
                    unsure = Some(begin);
                    let Some(end) = next_marker(file, at) else { return done(begin, Lack::Scans(scans)) };
                    at = end;
                }
            }
            _ => {}
        }
    }
}

/// What a picture lacks that ends behind so many scans.
fn lacking(frame: &Frame, open: &[[u8; 64]; 4], scans: usize) -> Lack {
    let whole = open.iter().take(frame.components.len()).flatten().all(|&bits| bits == 0);
    match (whole, frame.progressive) {
        (true, _) => Lack::Nothing,
        (false, true) => Lack::Scans(scans + 1),
        // A component is not there at all.
        (false, false) => Lack::Rows(0),
    }
}

fn read_tables(mut segment: &[u8], tables: &mut [[Option<Codes>; 4]; 2]) -> Option<()> {
    while let [kind, rest @ ..] = segment {
        let counts: &[u8; 16] = rest.first_chunk()?;
        let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
        let symbols = rest.get(16..16 + total)?.to_vec();
        let (mut code, mut start) = (0, 0);
        let lengths = counts.map(|count| {
            let length = (code, u32::from(count), start);
            code = (code + u32::from(count)) << 1;
            start += usize::from(count);
            length
        });
        let mut short = vec![(0, 0); 1 << SHORT];
        for (&(first, count, start), bits) in lengths.iter().zip(1..=SHORT) {
            for (code, &symbol) in (first..first + count).zip(&symbols[start..]) {
                // All bits that may follow the code.
                let from = (code as usize) << (SHORT - bits);
                short.get_mut(from..from + (1 << (SHORT - bits)))?.fill((bits as u8, symbol));
            }
        }
        *tables.get_mut(usize::from(kind >> 4))?.get_mut(usize::from(kind & 15))? =
            Some(Codes { lengths, symbols, short });
        segment = &rest[16 + total..];
    }
    Some(())
}

/// The next marker that is none inside of a scan.
fn next_marker(file: &[u8], from: usize) -> Option<usize> {
    let rest = file.get(from..)?;
    let marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff);
    rest.windows(2).position(marker).map(|place| from + place)
}

/// A scan to be counted.
struct Scan<'a> {
    frame: &'a Frame,
    components: Vec<Component>,
    tables: &'a [[Option<Codes>; 4]; 2],
    interval: usize,
    /// Whether a block is one code: the first scan of a progressive picture.
    dc_alone: bool,
}

impl Scan<'_> {
    /// Goes over the scan that begins at a place. Gives where it ends; where it ends early, the completed scan and the
    /// first row that is not whole; and whether codes are left over behind its last row, where no restart says since when.
    /// Nothing where a table of codes is not there.
    fn count(&self, file: &[u8], start: usize) -> Option<(usize, Vec<u8>, Option<u32>, bool)> {
        let most = |side: fn(&Component) -> usize| self.frame.components.iter().map(side).max().unwrap_or(1);
        let (h, v) = (most(|component| component.h), most(|component| component.v));
        let (across, down, rows) = match &self.components[..] {
            // A component by itself has no units: its blocks follow row by row.
            [one] => {
                let across = (self.frame.width * one.h).div_ceil(h).div_ceil(8);
                let down = (self.frame.height * one.v).div_ceil(v).div_ceil(8);
                (across, down, (8 * v).div_ceil(one.v))
            }
            _ => (self.frame.width.div_ceil(8 * h), self.frame.height.div_ceil(8 * v), 8 * v),
        };
        let blocks: Vec<(&Codes, Option<&Codes>)> = (self.components.iter())
            .flat_map(|c| std::iter::repeat_n(c, if self.components.len() == 1 { 1 } else { c.h * c.v }))
            .map(|c| {
                let dc = self.tables[0][c.dc].as_ref()?;
                Some((dc, if self.dc_alone { None } else { Some(self.tables[1][c.ac].as_ref()?) }))
            })
            .collect::<Option<_>>()?;
        let units = across * down;
        let mut bits = Bits { bytes: &file[start..], at: 0, held: 0, count: 0 };
        let lost = |(have, end): (usize, Bits<'_>)| {
            // Tables made for the picture may have no code for what doesn't change: then nothing is used.
            Some(match self.completed(&file[start..], end, have, units, &blocks) {
                Some(completed) => (0, completed, Some(self.row(have, across, rows)), false),
                None => (0, Vec::new(), Some(0), false),
            })
        };
        // The units that are whole, and those up to the last restart: what is damaged shows at the next one.
        let mut whole = (0, bits);
        let mut sure = whole;
        for unit in 0..units {
            if self.interval > 0 && unit > 0 && unit.is_multiple_of(self.interval) {
                if !bits.ends() {
                    return lost(sure);
                }
                if bits.restart().is_none() {
                    return lost(whole);
                }
                sure = whole;
            }
            if blocks.iter().any(|&(dc, ac)| bits.block(dc, ac).is_none()) {
                return lost(whole);
            }
            whole = (unit + 1, bits);
        }
        let left_over = !bits.ends();
        if left_over && self.interval > 0 {
            return lost(sure);
        }
        Some((next_marker(file, start + bits.at.saturating_sub(1)).unwrap_or(file.len()), Vec::new(), None, left_over))
    }

    /// The first row of the picture that is not whole where so many units are.
    fn row(&self, units: usize, across: usize, rows: usize) -> u32 {
        (units / across * rows).min(self.frame.height) as u32
    }

    /// The scan up to `end`, which is behind so many units, and the units that lack: without change of colour.
    fn completed(
        &self,
        scan: &[u8],
        end: Bits<'_>,
        have: usize,
        units: usize,
        blocks: &[(&Codes, Option<&Codes>)],
    ) -> Option<Vec<u8>> {
        let mut out = Writer { bytes: Vec::new(), held: 0, count: 0 };
        out.copy(scan, end);
        for unit in have..units {
            if self.interval > 0 && unit > 0 && unit.is_multiple_of(self.interval) {
                out.fill();
                out.bytes.extend([0xff, 0xd0 + (unit / self.interval - 1) as u8 % 8]);
            }
            for (dc, ac) in blocks {
                out.code(dc.code(0)?);
                if let Some(ac) = ac {
                    out.code(ac.code(0)?);
                }
            }
        }
        out.fill();
        Some(out.bytes)
    }
}

/// Bits of a scan.
#[derive(Clone, Copy)]
struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte.
    at: usize,
    held: u64,
    count: u32,
}

impl Bits<'_> {
    /// Holds as many bits as there is room for, up to a marker.
    fn fill(&mut self) {
        while self.count <= 56 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            if byte == 0xff {
                // A byte of 0xff is followed by 0; else it begins a marker.
                if self.bytes.get(self.at + 1) != Some(&0) {
                    return;
                }
                self.at += 1;
            }
            self.at += 1;
            self.held = self.held << 8 | u64::from(byte);
            self.count += 8;
        }
    }

    /// A symbol and the bits that follow it, of which it says how many: all of it for `dc`, else the lower half.
    fn symbol(&mut self, codes: &Codes, dc: bool) -> Option<u8> {
        if self.count < 32 {
            self.fill();
        }
        let ahead = self.count.checked_sub(SHORT).map(|rest| (self.held >> rest) as usize & ((1 << SHORT) - 1));
        let symbol = match ahead.map(|ahead| codes.short[ahead]) {
            Some((bits @ 1.., symbol)) => {
                self.count -= u32::from(bits);
                symbol
            }
            _ => self.long_symbol(codes)?,
        };
        self.count = self.count.checked_sub(u32::from(if dc { symbol } else { symbol & 15 }))?;
        Some(symbol)
    }

    /// A symbol of a long code, or one at the end.
    fn long_symbol(&mut self, codes: &Codes) -> Option<u8> {
        let mut code = 0;
        for (first, count, start) in codes.lengths {
            self.count = self.count.checked_sub(1)?;
            code = code << 1 | (self.held >> self.count) as u32 & 1;
            if let Some(index) = code.checked_sub(first).filter(|index| *index < count) {
                return codes.symbols.get(start + index as usize).copied();
            }
        }
        None
    }

    /// Goes over a block, if it is whole.
    fn block(&mut self, dc: &Codes, ac: Option<&Codes>) -> Option<()> {
        self.symbol(dc, true).filter(|bits| *bits <= 16)?;
        let Some(ac) = ac else { return Some(()) };
        let mut at = 1;
        while at < 64 {
            match self.symbol(ac, false)? {
                0xf0 => at += 16,
                symbol if symbol & 15 == 0 => break,
                symbol => at += 1 + usize::from(symbol >> 4),
            }
        }
        // No coefficient is behind the last.
        (at <= 64).then_some(())
    }

    /// Whether nothing is left before the next marker, but what fills the last byte, and bytes of filling.
    fn ends(mut self) -> bool {
        loop {
            self.fill();
            self.count -= self.count % 8;
            if self.count == 0 {
                return true;
            }
            self.count -= 8;
            if !matches!((self.held >> self.count) as u8, 0 | 0xff) {
                return false;
            }
        }
    }

    /// Goes over a restart marker.
    fn restart(&mut self) -> Option<()> {
        self.fill();
        self.count = 0;
        while self.bytes.get(self.at) == Some(&0xff) && self.bytes.get(self.at + 1) == Some(&0xff) {
            self.at += 1;
        }
        match self.bytes.get(self.at..self.at + 2)? {
            [0xff, 0xd0..=0xd7] => {
                self.at += 2;
                Some(())
            }
            _ => None,
        }
    }
}

impl Codes {
    /// The code of a symbol, and its bits.
    fn code(&self, symbol: u8) -> Option<(u32, u32)> {
        let index = self.symbols.iter().position(|&other| other == symbol)?;
        self.lengths.iter().zip(1..).find_map(|(&(first, count, start), bits)| {
            let offset = index.checked_sub(start).filter(|offset| *offset < count as usize)?;
            Some((first + offset as u32, bits))
        })
    }
}

/// Bits of a scan to be written.
struct Writer {
    bytes: Vec<u8>,
    held: u32,
    count: u32,
}

impl Writer {
    /// All that was read of a scan up to a place.
    fn copy(&mut self, scan: &[u8], end: Bits<'_>) {
        // Whole bytes that were held are read again.
        let mut at = end.at;
        let mut held = end.count;
        while held >= 8 {
            at -= if at >= 2 && scan[at - 2..at] == [0xff, 0] { 2 } else { 1 };
            held -= 8;
        }
        if held > 0 {
            at -= if at >= 2 && scan[at - 2..at] == [0xff, 0] { 2 } else { 1 };
            (self.held, self.count) = (u32::from(scan[at]) >> held, 8 - held);
        }
        self.bytes.extend_from_slice(&scan[..at]);
    }

    fn code(&mut self, (code, bits): (u32, u32)) {
        for bit in (0..bits).rev() {
            self.held = self.held << 1 | (code >> bit & 1);
            self.count += 1;
            if self.count == 8 {
                self.bytes.push(self.held as u8);
                if self.held as u8 == 0xff {
                    self.bytes.push(0);
                }
                (self.held, self.count) = (0, 0);
            }
        }
    }

    /// Ones up to a whole byte.
    fn fill(&mut self) {
        while self.count > 0 {
            self.code((1, 1));
        }
    }
}

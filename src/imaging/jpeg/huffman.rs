//! Huffman codes of a JPEG scan (ITU-T T.81, annexes C and F), read without decoding pixels.

/// Why a scan cannot be read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its bytes are used up.
    End,
    /// Bits that are no code.
    Code,
}

/// Bits of a code that one look at the table resolves.
const LOOK: u32 = 9;

/// A table of Huffman codes.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// For each `LOOK` bits the length of the code that they begin with, and its symbol; 0 for longer ones.
    short: Vec<(u8, u8)>,
    /// For each length, one more than its last code, aligned to 16 bits; and the index of its first symbol less its
    /// first code.
    long: [(u32, i32); 17],
    symbols: Vec<u8>,
}

impl Table {
    /// The table of `counts[n - 1]` codes of n bits each, in order, which stand for `symbols`. `None` if there are
    /// more codes of a length than it has.
    pub fn new(counts: [u8; 16], symbols: &[u8]) -> Option<Table> {
        let (mut short, mut long) = (vec![(0, 0); 1 << LOOK], [(0, 0); 17]);
        let (mut code, mut index) = (0_u32, 0_usize);
        for (length, &count) in (1..=16).zip(&counts) {
            let end = code + u32::from(count);
            if end > 1 << length {
                return None;
            }
            long[length as usize] = (end << (16 - length), index as i32 - code as i32);
            while code < end {
                let symbol = *symbols.get(index)?;
                if length <= LOOK {
                    let first = (code << (LOOK - length)) as usize;
                    short[first..first + (1 << (LOOK - length))].fill((length as u8, symbol));
                }
                code += 1;
                index += 1;
            }
            code <<= 1;
        }
        Some(Table { short, long, symbols: symbols.to_vec() })
    }
}

/// The bits of a scan's entropy-coded bytes, up to the next marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// Offset of the next byte to be taken.
    at: usize,
    /// The next `count` bits, from the most significant; zeros follow.
    next: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    /// The bits from offset `at` of `bytes`.
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Bits { bytes, at, next: 0, count: 0 }
    }

    /// Offset of the first byte that was not taken: of a marker, if the bits before it are all taken.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Takes bytes until more than 32 bits are there, or the next bytes are a marker.
    fn refill(&mut self) {
        while self.count <= 56 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            let mut after = self.at + 1;
            if byte == 0xff {
                // Fill bytes may precede the second byte, which is zero where 0xff is data.
                while self.bytes.get(after) == Some(&0xff) {
                    after += 1;
                }
                if self.bytes.get(after) != Some(&0) {
                    return;
                }
                after += 1;
            }
            self.next |= u64::from(byte) << (56 - self.count);
            self.count += 8;
            self.at = after;
        }
    }

    /// The symbol of the next code.
    pub fn symbol(&mut self, table: &Table) -> Result<u8, Fault> {
        if self.count < 32 {
            self.refill();
        }
        let (length, symbol) = table.short[(self.next >> (64 - LOOK)) as usize];
        if length > 0 {
            self.drop(u32::from(length))?;
            return Ok(symbol);
        }
        let code = (self.next >> 48) as u32;
        let found = (LOOK + 1..=16).find(|&length| code < table.long[length as usize].0);
        let Some(length) = found else {
            return Err(if self.count < 16 { Fault::End } else { Fault::Code });
        };
        self.drop(length)?;
        let index = (code >> (16 - length)) as i32 + table.long[length as usize].1;
        table.symbols.get(index as usize).copied().ok_or(Fault::Code)
    }

    /// The next `count` bits, at most 16, as a number.
    pub fn number(&mut self, count: u32) -> Result<u32, Fault> {
        if self.count < count {
            self.refill();
        }
        // Two shifts, as one by 64 would overflow.
        let number = (self.next >> 1 >> (63 - count)) as u32;
        self.drop(count)?;
        Ok(number)
    }

    /// Passes over `count` bits, at most 64.
    pub fn skip(&mut self, mut count: u32) -> Result<(), Fault> {
        while count > 16 {
            self.number(16)?;
            count -= 16;
        }
        self.number(count).map(drop)
    }

    fn drop(&mut self, count: u32) -> Result<(), Fault> {
        self.count = self.count.checked_sub(count).ok_or(Fault::End)?;
        self.next <<= count;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes 0, 10, 110 and one of eleven bits, 11100000000.
    fn table() -> Table {
        let mut counts = [0; 16];
        (counts[0], counts[1], counts[2], counts[10]) = (1, 1, 1, 1);
        Table::new(counts, &[7, 8, 9, 5]).unwrap()
    }

    #[test]
    fn symbols_and_numbers_follow_each_other() {
        // 0, 110, 1010 as a number, 11100000000, 10 and padding.
        let mut bits = Bits::new(&[0b0110_1010, 0b1110_0000, 0b0001_0111, 0xff, 0xd9], 0);
        assert_eq!([bits.symbol(&table()), bits.symbol(&table())], [Ok(7), Ok(9)]);
        assert_eq!(bits.number(4), Ok(0b1010));
        assert_eq!([bits.symbol(&table()), bits.symbol(&table())], [Ok(5), Ok(8)]);
        assert_eq!((bits.skip(3), bits.skip(1), bits.at()), (Ok(()), Err(Fault::End), 3));
    }

    #[test]
    fn a_stuffed_byte_is_data_and_a_marker_is_the_end() {
        let mut bits = Bits::new(&[0xff, 0, 0xff, 0xff, 0, 0xff, 0xd0, 0], 0);
        assert_eq!((bits.number(16), bits.number(1), bits.at()), (Ok(0xffff), Err(Fault::End), 5));
    }

    #[test]
    fn bits_that_are_no_code_are_a_fault() {
        assert_eq!(Bits::new(&[0xff, 0, 0xff, 0], 0).symbol(&table()), Err(Fault::Code));
        assert_eq!(Bits::new(&[0xff, 0], 0).symbol(&table()), Err(Fault::End));
    }

    #[test]
    fn more_codes_than_a_length_has_are_no_table() {
        let counts = |n| std::array::from_fn(|i| if i == 0 { n } else { 0 });
        assert!(Table::new(counts(2), &[0, 1]).is_some());
        assert!(Table::new(counts(3), &[0, 1, 2]).is_none() && Table::new(counts(2), &[0]).is_none());
    }
}

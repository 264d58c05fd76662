//! Memory for very many small things that come and go: paged columns by group id, and slabs of equal blocks.
//!
//! A `Vec` that grows copies everything and holds up to twice what it needs: at a million groups both hurt. Pages are
//! never moved, so growth costs one page, and they are given back when nothing lives in them.

/// Asks the processor to fetch the line `target` points at. A hint: any address is fine.
#[inline(always)]
pub(super) fn prefetch<T>(target: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch does not dereference; it has no effect but on caches.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(target.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = target;
}

/// A size an allocator serves without rounding up: four steps to each power of two.
pub(super) fn roomy(needed: usize) -> usize {
    if needed <= 8 {
        return 8;
    }
    let step = needed.next_power_of_two() / 8;
    needed.div_ceil(step) * step
}

const PAGE_ROWS_LOG2: usize = 8;
const PAGE_ROWS: usize = 1 << PAGE_ROWS_LOG2;

/// A column indexed by group id: `stride` values a row, in pages of 256 rows.
#[derive(Debug)]
pub(super) struct Pages<T> {
    stride: usize,
    pages: Vec<Box<[T]>>,
    live: usize,
}

impl<T: Clone + Default> Pages<T> {
    pub(super) fn new(stride: usize) -> Pages<T> {
        Pages { stride, pages: Vec::new(), live: 0 }
    }

    /// Makes sure `row` is there; new rows hold defaults.
    #[inline]
    pub(super) fn ensure(&mut self, row: u32) {
        let page = row as usize >> PAGE_ROWS_LOG2;
        if self.pages.get(page).is_none_or(|page| page.is_empty()) {
            self.grow(page);
        }
    }

    #[cold]
    fn grow(&mut self, page: usize) {
        if self.stride == 0 {
            return;
        }
        if page >= self.pages.len() {
            self.pages.resize(page + 1, Box::default());
        }
        self.pages[page] = vec![T::default(); PAGE_ROWS * self.stride].into();
        self.live += 1;
    }

    #[inline]
    fn place(&self, row: u32) -> (usize, usize) {
        (row as usize >> PAGE_ROWS_LOG2, (row as usize & (PAGE_ROWS - 1)) * self.stride)
    }

    /// The row, which [`Pages::ensure`] has made; empty where the stride is zero.
    #[inline]
    pub(super) fn row(&self, row: u32) -> &[T] {
        if self.stride == 0 {
            return &[];
        }
        let (page, at) = self.place(row);
        &self.pages[page][at..at + self.stride]
    }

    #[inline]
    pub(super) fn row_mut(&mut self, row: u32) -> &mut [T] {
        if self.stride == 0 {
            return &mut [];
        }
        let (page, at) = self.place(row);
        &mut self.pages[page][at..at + self.stride]
    }

    /// The only value of a row of stride 1.
    #[inline]
    pub(super) fn get(&self, row: u32) -> Option<&T> {
        let (page, at) = self.place(row);
        self.pages.get(page)?.get(at)
    }

    #[inline]
    pub(super) fn prefetch(&self, row: u32) {
        let (page, at) = self.place(row);
        if let Some(page) = self.pages.get(page) {
            prefetch(page.as_ptr().wrapping_add(at));
        }
    }

    /// Gives back the page that `row` is on; its rows are defaults when they are made again.
    pub(super) fn release(&mut self, row: u32) {
        let (page, _) = self.place(row);
        if let Some(page) = self.pages.get_mut(page).filter(|page| !page.is_empty()) {
            *page = Box::default();
            self.live -= 1;
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.pages.capacity() * size_of::<Box<[T]>>() + self.live * PAGE_ROWS * self.stride * size_of::<T>()
    }
}

/// The page of a row, for counting what lives on it.
pub(super) fn page_of(row: u32) -> usize {
    row as usize >> PAGE_ROWS_LOG2
}

/// Blocks of equal length, in pages; freed blocks are used again, lowest page first, so that the upper pages run empty.
#[derive(Debug)]
pub(super) struct Slab<T> {
    block: usize,
    page_blocks_log2: u32,
    pages: Vec<SlabPage<T>>,
    /// A bit for each page with a free block; a page without memory has all of its blocks free.
    open: Vec<u64>,
    /// No word of `open` before this one has a bit.
    open_from: usize,
    /// Pages with memory.
    live: usize,
    /// The most pages that were in use at once since the last trim, and between the two before.
    peaks: [usize; 2],
    used_pages: usize,
}

#[derive(Debug)]
struct SlabPage<T> {
    data: Box<[T]>,
    free: Vec<u16>,
    used: u16,
}

impl<T: Copy + Default> Slab<T> {
    pub(super) fn new(block: usize) -> Slab<T> {
        let page_elements = (64 << 10) / size_of::<T>();
        let blocks = (page_elements / block).max(1).next_power_of_two().min(1 << 12);
        Slab {
            block,
            page_blocks_log2: blocks.trailing_zeros(),
            pages: Vec::new(),
            open: Vec::new(),
            open_from: 0,
            live: 0,
            peaks: [0; 2],
            used_pages: 0,
        }
    }

    fn page_blocks(&self) -> usize {
        1 << self.page_blocks_log2
    }

    /// A block whose content is whatever it was; ids are below `u32::MAX`.
    pub(super) fn allocate(&mut self) -> u32 {
        let blocks = self.page_blocks();
        let page_id = self.open_page();
        let page = &mut self.pages[page_id as usize];
        if page.data.is_empty() {
            page.data = vec![T::default(); blocks * self.block].into();
            page.free = (0..blocks as u16).rev().collect();
            self.live += 1;
        }
        if page.used == 0 {
            self.used_pages += 1;
            self.peaks[0] = self.peaks[0].max(self.used_pages);
        }
        let block = page.free.pop().expect("open pages have a free block");
        page.used += 1;
        if page.free.is_empty() {
            self.open[page_id as usize / 64] &= !(1 << (page_id % 64));
        }
        page_id << self.page_blocks_log2 | u32::from(block)
    }

    /// The lowest page with a free block.
    fn open_page(&mut self) -> u32 {
        while self.open.get(self.open_from).is_some_and(|word| *word == 0) {
            self.open_from += 1;
        }
        if let Some(word) = self.open.get(self.open_from) {
            return self.open_from as u32 * 64 + word.trailing_zeros();
        }
        let page = self.pages.len() as u32;
        self.pages.push(SlabPage { data: Box::default(), free: Vec::new(), used: 0 });
        self.open.resize(self.pages.len().div_ceil(64), 0);
        self.set_open(page);
        page
    }

    fn set_open(&mut self, page: u32) {
        let word = page as usize / 64;
        self.open[word] |= 1 << (page % 64);
        self.open_from = self.open_from.min(word);
    }

    pub(super) fn free(&mut self, id: u32) {
        let page_id = id >> self.page_blocks_log2;
        let page = &mut self.pages[page_id as usize];
        let was_full = page.free.is_empty();
        page.free.push((id & ((1 << self.page_blocks_log2) - 1)) as u16);
        page.used -= 1;
        if page.used == 0 {
            self.used_pages -= 1;
        }
        if was_full {
            self.set_open(page_id);
        }
    }

    /// Gives back empty pages beyond what was in use at once lately. Called once a pane, so a steady load keeps what it
    /// needs and silence returns it within two panes.
    pub(super) fn trim(&mut self) {
        let keep = self.peaks[0].max(self.peaks[1]);
        self.peaks = [self.used_pages, self.peaks[0]];
        for page in self.pages.iter_mut().rev() {
            if self.live <= keep {
                break;
            }
            if page.used == 0 && !page.data.is_empty() {
                page.data = Box::default();
                page.free = Vec::new();
                self.live -= 1;
            }
        }
    }

    #[inline]
    fn place(&self, id: u32) -> (usize, usize) {
        let page = (id >> self.page_blocks_log2) as usize;
        (page, (id as usize & ((1 << self.page_blocks_log2) - 1)) * self.block)
    }

    #[inline]
    pub(super) fn get(&self, id: u32) -> &[T] {
        let (page, at) = self.place(id);
        &self.pages[page].data[at..at + self.block]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: u32) -> &mut [T] {
        let (page, at) = self.place(id);
        &mut self.pages[page].data[at..at + self.block]
    }

    #[inline]
    pub(super) fn prefetch(&self, id: u32, element: usize) {
        let (page, at) = self.place(id);
        prefetch(self.pages[page].data.as_ptr().wrapping_add(at + element));
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let page = self.page_blocks() * (self.block * size_of::<T>() + 2);
        self.pages.capacity() * size_of::<SlabPage<T>>() + self.live * page + self.open.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roomy_sizes_waste_at_most_a_quarter() {
        for needed in 1..5000 {
            let room = roomy(needed);
            assert!(room >= needed && room.is_multiple_of(2), "{needed} → {room}");
            assert!(needed < 16 || room * 4 <= needed * 5, "{needed} → {room}");
        }
    }

    #[test]
    fn a_slab_returns_its_memory_after_two_quiet_trims() {
        let mut slab: Slab<u64> = Slab::new(8);
        let ids: Vec<u32> = (0..10_000).map(|_| slab.allocate()).collect();
        for (value, id) in ids.iter().enumerate() {
            slab.get_mut(*id)[7] = value as u64;
        }
        assert!(ids.iter().enumerate().all(|(value, id)| slab.get(*id)[7] == value as u64));
        let full = slab.heap_bytes();
        ids.iter().for_each(|id| slab.free(*id));
        slab.trim();
        let again: Vec<u32> = (0..10_000).map(|_| slab.allocate()).collect();
        assert_eq!(slab.heap_bytes() / 1000, full / 1000, "a steady load keeps its pages");
        again.iter().for_each(|id| slab.free(*id));
        let one = slab.allocate();
        (0..3).for_each(|_| slab.trim());
        assert!(slab.heap_bytes() < full / 8, "{} of {full}", slab.heap_bytes());
        slab.get_mut(one)[0] = 1;
    }

    #[test]
    fn pages_start_as_defaults_and_do_so_again_after_release() {
        let mut pages: Pages<u32> = Pages::new(2);
        pages.ensure(300);
        pages.row_mut(300)[1] = 7;
        assert_eq!((pages.row(300), pages.row(511)), (&[0, 7][..], &[0, 0][..]));
        let before = pages.heap_bytes();
        pages.release(300);
        assert!(pages.heap_bytes() + 2048 <= before);
        pages.ensure(300);
        assert_eq!(pages.row(300), [0, 0]);
    }
}

//! Buffers of a thread, which stay allocated from call to call and begin on a cache line.
//!
//! What is in them is left over from earlier calls: a kernel writes before it reads.

use std::cell::RefCell;
use std::marker::PhantomData;

/// A cache line.
#[repr(align(64))]
#[derive(Clone, Copy)]
#[expect(dead_code, reason = "it is read and written through pointers alone")]
struct Line([u8; Self::BYTES]);

impl Line {
    const BYTES: usize = 64;
}

/// Numbers that begin on a cache line: a vector of them is then one load.
pub(crate) struct Aligned<E> {
    lines: Vec<Line>,
    of: PhantomData<E>,
}

impl<E> Aligned<E> {
    pub fn as_ptr(&self) -> *const E {
        self.lines.as_ptr().cast()
    }
}

impl<E: Copy> From<&[E]> for Aligned<E> {
    fn from(numbers: &[E]) -> Self {
        let mut lines = vec![Line([0; Line::BYTES]); size_of_val(numbers).div_ceil(Line::BYTES)];
        // SAFETY: there are lines for all of them, of no stricter need for alignment.
        unsafe { std::ptr::copy_nonoverlapping(numbers.as_ptr(), lines.as_mut_ptr().cast(), numbers.len()) };
        Self { lines, of: PhantomData }
    }
}

/// A thread's buffers.
#[derive(Default)]
pub(crate) struct Scratch([Vec<Line>; 6]);

impl Scratch {
    /// Each buffer with at least so many elements.
    pub fn buffers<E: Copy, const N: usize>(&mut self, elements: [usize; N]) -> [*mut E; N] {
        let mut pointers = [std::ptr::null_mut(); N];
        for ((buffer, elements), pointer) in self.0.iter_mut().zip(elements).zip(&mut pointers) {
            let lines = (elements * size_of::<E>()).div_ceil(Line::BYTES);
            if buffer.len() < lines {
                buffer.resize(lines, Line([0; Line::BYTES]));
            }
            *pointer = buffer.as_mut_ptr().cast();
        }
        pointers
    }
}

thread_local! {
    static BUFFERS: RefCell<Scratch> = RefCell::default();
}

/// Lend this thread's buffers.
pub(crate) fn with<R>(body: impl FnOnce(&mut Scratch) -> R) -> R {
    BUFFERS.with(|buffers| match buffers.try_borrow_mut() {
        Ok(mut buffers) => body(&mut buffers),
        Err(_) => body(&mut Scratch::default()),
    })
}

//! Where the time of a thread goes, operation by operation of libtorch and span by span of this program.
//!
//! Only what the recording thread itself calls is seen, which on a CPU includes the way back; threads that share an
//! operation's work are in its time. On other devices these times are those of asking for the work.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;

use super::check;
use crate::Result;

unsafe extern "C" {
    fn mb_profile_record(on: bool) -> *mut c_char;
    fn mb_profile_enter(span: c_int) -> bool;
    fn mb_profile_leave();
    fn mb_profile_take(row: TakeRow, to: *mut c_void) -> *mut c_char;
}

type TakeRow = extern "C" fn(to: *mut c_void, span: c_int, name: *const c_char, calls: u64, nanoseconds: i64);

/// The parts of a training step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Batches read, waited for and brought to the device.
    Data = 1,
    /// Forward and backward.
    Model = 2,
    /// From gradients to new parameters.
    Optimizer = 3,
}

/// The calls of one operation inside one span.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The span, or none outside of all.
    pub span: Option<Span>,
    /// libtorch's name, or empty for the span itself: its time between operations.
    pub name: String,
    /// How often.
    pub calls: u64,
    /// Without what it called.
    pub seconds: f64,
}

/// Starts or stops recording the calling thread, on top of what is recorded already. Not inside a span.
pub fn record(on: bool) -> Result<()> {
    // SAFETY: the shim keeps its state to the thread; libtorch calls back in this thread alone.
    check(unsafe { mb_profile_record(on) })
}

/// What was recorded of the calling thread, which begins anew.
pub fn take() -> Result<Vec<Row>> {
    extern "C" fn row(to: *mut c_void, span: c_int, name: *const c_char, calls: u64, nanoseconds: i64) {
        // SAFETY: `to` is the list below, which nothing else uses meanwhile; `name` is a C string during this call.
        let (rows, name) = unsafe { (&mut *to.cast::<Vec<Row>>(), CStr::from_ptr(name)) };
        let span = [Span::Data, Span::Model, Span::Optimizer].into_iter().find(|&known| known as c_int == span);
        rows.push(Row { span, name: name.to_string_lossy().into_owned(), calls, seconds: nanoseconds as f64 * 1e-9 });
    }
    let mut rows: Vec<Row> = Vec::new();
    // SAFETY: the shim calls `row` with the pointer that it is given, in this thread and during this call.
    check(unsafe { mb_profile_take(row, (&raw mut rows).cast()) })?;
    Ok(rows)
}

/// Until it is dropped, what the calling thread does belongs to a span. Costs nothing where nothing is recorded.
#[must_use = "the span ends where this is dropped"]
#[derive(Debug)]
pub struct InSpan {
    recorded: bool,
    /// It is dropped in the thread that it was made in.
    _thread: PhantomData<*const ()>,
}

/// Begins a span.
pub fn span(span: Span) -> InSpan {
    // SAFETY: a number from 1 to 3.
    InSpan { recorded: unsafe { mb_profile_enter(span as c_int) }, _thread: PhantomData }
}

impl Drop for InSpan {
    fn drop(&mut self) {
        if self.recorded {
            // SAFETY: it was begun in this thread, and those begun later have been dropped.
            unsafe { mb_profile_leave() }
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;
    use crate::native::attention;

    #[test]
    fn operations_are_seen_there_and_back_and_inside_their_span() {
        let x = Tensor::ones([8, 8], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        record(true).unwrap();
        {
            let _model = span(Span::Model);
            x.mm(&x).sum(Kind::Float).backward();
        }
        let _ = x.relu();
        record(false).unwrap();
        let _ = x.exp();
        let rows = take().unwrap();
        let calls =
            |span, name: &str| rows.iter().find(|row| row.span == span && row.name == name).map(|row| row.calls);
        // One product there and two back; what autograd does is inside the span as well.
        assert_eq!(calls(Some(Span::Model), "aten::mm"), Some(3));
        assert_eq!(calls(Some(Span::Model), ""), Some(1));
        assert_eq!((calls(None, "aten::relu"), calls(Some(Span::Model), "aten::relu")), (Some(1), None));
        assert!(rows.iter().all(|row| row.name != "aten::exp" && row.seconds >= 0.0), "{rows:?}");
        assert!(take().unwrap().is_empty());
    }

    #[test]
    fn this_projects_attention_is_seen_there_and_back() {
        let x = Tensor::ones([4, 2, 8, 16], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        record(true).unwrap();
        attention::attend(&x, &x, &x, attention::Sight::OWN, attention::Dropout::NONE)
            .unwrap()
            .sum(Kind::Float)
            .backward();
        record(false).unwrap();
        let rows = take().unwrap();
        for name in ["megabyte::attention", "megabyte::attention_backward"] {
            assert!(rows.iter().any(|row| row.name == name && row.calls == 1), "{name}: {rows:?}");
        }
    }
}

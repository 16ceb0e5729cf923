//! The rate of matrix products that this machine reaches, against which a run's is a share (MFU).

use std::time::Instant;

use tch::{Cuda, Device, Kind, Tensor};

/// Floating-point operations a second of the fastest of several large products of `kind` on `device`.
pub fn matrix_flops(kind: Kind, device: Device) -> f64 {
    let n: i64 = if device.is_cuda() { 8192 } else { 1024 };
    let _guard = tch::no_grad_guard();
    // Not from the global generator, whose state belongs to the run.
    let matrix = Tensor::linspace(-1.0, 1.0, n * n, (Kind::Float, device)).view([n, n]).to_kind(kind);
    let mut fastest = f64::INFINITY;
    for _ in 0..8 {
        synchronize(device);
        let started = Instant::now();
        let _product = matrix.matmul(&matrix);
        synchronize(device);
        fastest = fastest.min(started.elapsed().as_secs_f64());
    }
    2.0 * (n as f64).powi(3) / fastest
}

/// Waits for the device to finish what it was given.
pub fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

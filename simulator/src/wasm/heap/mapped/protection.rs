//! Keeping private copies over messages: pages that were kept are write-protected instead of dropped, so that the next
//! message that writes there costs one fault and copies nothing (`Documentation/admin-guide/mm/userfaultfd.rst` of
//! Linux, "write-protect notifications", in asynchronous mode: Linux 6.7 and later). Where the system lacks it or
//! refuses it, private copies are dropped as soon as they are in the file, and everything else is the same.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::OnceLock;

/// Version of the interface.
const API: u64 = 0xAA;
/// Faults of the kernel on behalf of the process aren't handled, which processes without rights may ask for.
const USER_MODE_ONLY: libc::c_int = 1;
/// The kernel itself takes the protection from a page that is written.
const WP_ASYNC: u64 = 1 << 15;
/// A range is registered for write protection.
const MODE_WP: u64 = 1 << 1;
/// `_IOWR(0xAA, 0x3F, struct uffdio_api)`.
const UFFDIO_API: libc::c_ulong =
    3 << 30 | (size_of::<Interface>() as libc::c_ulong) << 16 | (API as libc::c_ulong) << 8 | 0x3F;
/// `_IOWR(0xAA, 0x00, struct uffdio_register)`.
const UFFDIO_REGISTER: libc::c_ulong =
    3 << 30 | (size_of::<Register>() as libc::c_ulong) << 16 | (API as libc::c_ulong) << 8;

/// `struct uffdio_api`.
#[repr(C)]
#[derive(Default)]
struct Interface {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
#[derive(Default)]
struct Register {
    start: u64,
    bytes: u64,
    mode: u64,
    ioctls: u64,
}

/// Opens the interface once per process; None where the system lacks or refuses it.
fn interface() -> Option<&'static File> {
    static SHARED: OnceLock<Option<File>> = OnceLock::new();
    SHARED.get_or_init(open).as_ref()
}

fn open() -> Option<File> {
    // SAFETY: the call takes flags alone; the descriptor that it returns is owned by nobody else.
    let file = unsafe {
        let descriptor = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | USER_MODE_ONLY);
        if descriptor < 0 {
            return None;
        }
        File::from_raw_fd(descriptor as libc::c_int)
    };
    let mut interface = Interface { api: API, features: WP_ASYNC, ioctls: 0 };
    // SAFETY: the argument is as the call expects it.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), UFFDIO_API, &mut interface) };
    (result == 0).then_some(file)
}

/// Tells whether the system offers it.
pub fn is_there() -> bool {
    interface().is_some()
}

/// Lets pages of a new mapping be protected.
///
/// # Errors
/// What the system refuses it with, where it offers it.
pub fn register(base: *mut libc::c_void, bytes: usize) -> std::io::Result<()> {
    let Some(interface) = interface() else { return Ok(()) };
    let mut range = Register { start: base as u64, bytes: bytes as u64, mode: MODE_WP, ioctls: 0 };
    // SAFETY: the argument is as the call expects it; the range is a mapping of the caller's.
    let result = unsafe { libc::ioctl(interface.as_raw_fd(), UFFDIO_REGISTER, &mut range) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

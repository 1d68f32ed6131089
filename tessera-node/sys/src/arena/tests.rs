use super::*;

fn arena() -> Arena {
    Arena::new(4096).expect("a page can be locked")
}

#[test]
fn a_secret_is_zero_at_birth_and_in_memory_zeroed_at_death() {
    let arena = arena();
    let mut secret = arena.secret::<32>().expect("room");
    assert_eq!(*secret, [0; 32]);
    secret.fill(0xa5);
    let slot = secret.as_ptr();
    // SAFETY: the slot is alive and nobody writes to it.
    assert_eq!(unsafe { slot.read_volatile() }, [0xa5; 32]);

    drop(secret);

    // SAFETY: the arena is alive, so the region is mapped; no handle owns the slot.
    assert_eq!(unsafe { slot.read_volatile() }, [0; 32]);
}

#[test]
fn a_slot_is_used_again() {
    let arena = arena();
    let first = arena.secret::<64>().expect("room");
    let place = first.as_ptr();
    assert_eq!(arena.used(), 64);
    drop(first);
    assert_eq!(arena.used(), 0);
    assert_eq!(arena.secret::<64>().expect("room").as_ptr(), place);
}

#[test]
fn secrets_do_not_overlap() {
    let arena = arena();
    let mut a = arena.secret::<33>().expect("room");
    let mut b = arena.secret::<1>().expect("room");
    let mut c = arena.secret::<32>().expect("room");
    a.fill(1);
    b.fill(2);
    c.fill(3);
    assert_eq!((*a, *b, *c), ([1; 33], [2; 1], [3; 32]));
}

#[test]
fn a_full_arena_says_so_and_serves_again_when_something_goes() {
    let arena = arena();
    let mut secrets: Vec<_> =
        (0..arena.capacity() / 32).map(|_| arena.secret::<32>().expect("room")).collect();
    let error = arena.secret::<32>().err().expect("no room");
    assert!(matches!(error, ArenaError::Full { bytes: 32, used, capacity } if used == capacity), "{error}");

    secrets.pop();

    assert!(arena.secret::<32>().is_ok());
}

#[test]
fn a_secret_larger_than_the_arena_is_refused() {
    let error = arena().secret::<8192>().err().expect("no room");
    assert!(matches!(error, ArenaError::Full { .. }), "{error}");
}

#[test]
fn sizes_beyond_the_memory_lock_limit_of_a_container_are_refused() {
    for bytes in [0, MAX_ARENA_BYTES + 1] {
        let error = Arena::new(bytes).err().expect("a size that no arena has");
        assert!(matches!(error, ArenaError::Size { .. }), "{error}");
    }
    assert_eq!(Arena::new(MAX_ARENA_BYTES).expect("the largest").capacity(), MAX_ARENA_BYTES);
}

#[test]
fn secrets_can_be_shared_between_threads_and_outlive_the_handle_of_their_arena() {
    let arena = arena();
    let mut secret = arena.secret::<32>().expect("room");
    secret.fill(7);
    drop(arena);
    std::thread::scope(|scope| {
        let sums = [(); 2].map(|()| scope.spawn(|| secret.iter().map(|b| u32::from(*b)).sum::<u32>()));
        for sum in sums {
            assert_eq!(sum.join().expect("no panic"), 7 * 32);
        }
    });
}

#[test]
fn the_kernel_has_the_pages_locked_undumped_unforked_and_guarded() {
    let arena = arena();
    let data = arena.0.region.data().as_ptr() as usize;
    let smaps = std::fs::read_to_string("/proc/self/smaps").expect("/proc is mounted");
    let (header, flags) = mapping_from(&smaps, data).expect("the region is mapped");
    assert!(header.contains("rw-p"), "{header}");
    for flag in ["lo", "dc", "dd"] {
        assert!(flags.split(' ').any(|f| f == flag), "{flag} not in {flags}");
    }

    let guard = arena.0.region.guard;
    let before = permissions_at(&smaps, data - guard).expect("a guard page before");
    let after = permissions_at(&smaps, data + arena.capacity()).expect("a guard page after");
    assert_eq!((before, after), ("---p", "---p"));
}

/// The header and flags of the mapping that starts at `address`.
fn mapping_from(smaps: &str, address: usize) -> Option<(&str, &str)> {
    let start = format!("{address:08x}-");
    let at = smaps.lines().position(|line| line.starts_with(&start))?;
    let mut lines = smaps.lines().skip(at);
    let header = lines.next()?;
    Some((header, lines.find_map(|line| line.strip_prefix("VmFlags: "))?))
}

/// The permissions of the mapping that contains `address`.
fn permissions_at(smaps: &str, address: usize) -> Option<&str> {
    smaps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok()?;
        (start..end).contains(&address).then(|| &rest[..4])
    })
}

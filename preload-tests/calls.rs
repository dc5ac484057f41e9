//! Which calls count, with which size, and that they behave as without the library.

use crate::support::{Run, Source, library};

#[test]
fn every_function_counts_once_with_the_size_asked_for() {
    let program = Source::c("calls").build();
    Run::preloaded(program)
        .succeed()
        .report()
        .assert_is("calls.csv");
}

#[test]
fn successful_calls_behave_as_without_the_library() {
    let program = Source::c("behaviour").build();
    let plain = Run::plain(&program).succeed().stdout;
    assert!(
        plain.contains("block errno 77"),
        "errno is left alone: {plain}"
    );
    assert_eq!(Run::preloaded(&program).succeed().stdout, plain);
}

#[test]
fn failing_calls_behave_as_without_the_library() {
    let program = Source::c("behaviour").build();
    let plain = Run::plain(&program).arg("failing").succeed().stdout;
    assert!(plain.contains("NULL errno 12"), "some calls fail: {plain}");
    assert_eq!(
        Run::preloaded(&program).arg("failing").succeed().stdout,
        plain
    );
}

#[test]
fn failed_calls_and_realloc_to_zero_are_not_counted() {
    let program = Source::c("behaviour").build();
    Run::preloaded(program)
        .arg("failing")
        .succeed()
        .report()
        .assert_is("behaviour_failing.csv");
}

#[test]
fn a_preloaded_allocator_keeps_serving() {
    let program = Source::c("served_by").build();
    let other = Source::c_library("other_allocator").build();
    let preload = format!("{}:{}", library().display(), other.display());
    let outcome = Run::plain(program).env("LD_PRELOAD", preload).succeed();
    assert_eq!(outcome.report().calls_by("ask"), 1000);
}

#[test]
fn a_linked_allocator_keeps_serving() {
    let other = Source::c_library("other_allocator").build();
    let folder = other.parent().expect("the folder of the library");
    let program = Source::c("served_by")
        .flags(&[
            "-Wl,--no-as-needed".to_owned(),
            other.display().to_string(),
            format!("-Wl,-rpath,{}", folder.display()),
        ])
        .build();
    let outcome = Run::preloaded(program).succeed();
    assert_eq!(outcome.report().calls_by("ask"), 1000);
}

//! The demo, as README has it.

use std::process::Command;

use anyhow::Result;

#[test]
fn the_demo_ends_with_twenty_four_jobs_completed_and_their_files() -> Result<()> {
    let world = songmill_tests::World::start(&[])?;
    let program = world.command(&[])?.get_program().to_owned();
    let output = Command::new(program).arg("demo").current_dir(world.folder.path()).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("24 of 24 jobs completed"), "{said}");
    let mut files = 0;
    let mut folders = vec![world.folder.path().join("songs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| ["mp3", "wav", "flac"].iter().any(|known| extension == *known))
            {
                files += 1;
            }
        }
    }
    assert!(files >= 26, "24 jobs, one of them of three songs: {files} files");
    Ok(())
}

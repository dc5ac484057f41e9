//! Command lines as a shell splits them, as far as the documents use a shell.

/// The commands of a line, without redirections and comments, as words.
pub(super) fn commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    // The next word is where standard output goes.
    let mut is_redirected = false;
    let mut chars = line.chars().peekable();
    let end =
        |word: &mut Option<String>, is_redirected: &mut bool, commands: &mut Vec<Vec<String>>| {
            if let Some(word) = word.take()
                && !std::mem::take(is_redirected)
            {
                commands.last_mut().expect("a command").push(word);
            }
        };
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                word.extend(chars.by_ref().take_while(|&inner| inner != c));
            }
            '#' if word.is_none() => break,
            '|' | ';' | '&' => {
                end(&mut word, &mut is_redirected, &mut commands);
                commands.push(Vec::new());
            }
            '<' | '>' => {
                // `2>FILE`: the number belongs to the redirection.
                word = word.filter(|word| !word.chars().all(|c| c.is_ascii_digit()));
                end(&mut word, &mut is_redirected, &mut commands);
                chars.next_if_eq(&'&');
                is_redirected = true;
            }
            c if c.is_whitespace() => end(&mut word, &mut is_redirected, &mut commands),
            c => word.get_or_insert_default().push(c),
        }
    }
    end(&mut word, &mut is_redirected, &mut commands);
    commands.retain(|command| !command.is_empty());
    commands
}

#[test]
fn lines_are_split_as_a_shell_does() {
    let split = |line| commands(line);
    assert_eq!(
        split("a -x 'b | c' \"d\"e 2>/dev/null > f; g # h"),
        [vec!["a", "-x", "b | c", "de"], vec!["g"]]
    );
    assert_eq!(split("a < b | c -1"), [vec!["a"], vec!["c", "-1"]]);
    assert_eq!(split("# nothing"), Vec::<Vec<String>>::new());
}

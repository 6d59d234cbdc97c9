//! A line as a shell reads it, as far as the pages need it. What this does not know, a page must not use: every shell must
//! read the line alike.

/// The words of a line. A comment ends it.
///
/// # Errors
/// What a shell would do more with it.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '#' if word.is_none() => break,
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err(format!("a quote is open: {line}")),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                            Some(c) => word.extend(['\\', c]),
                            None => return Err(format!("a quote is open: {line}")),
                        },
                        Some('$' | '`') => return Err(format!("a shell puts something else there: {line}")),
                        // History of an interactive bash.
                        Some('!') => return Err(format!("quote ! with ': {line}")),
                        Some(c) => word.push(c),
                        None => return Err(format!("a quote is open: {line}")),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next().ok_or("it ends with a backslash")?),
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' | '*' | '?' | '[' | '{' | '!' => {
                return Err(format!("quote {c}, or write it otherwise: {line}"));
            }
            '~' if word.is_none() => return Err(format!("whose home: {line}")),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[test]
fn a_line_is_split_as_a_shell_does() {
    for (line, words) in [
        ("etcdtop status", &["etcdtop", "status"][..]),
        ("  a   b  # c 'd", &["a", "b"]),
        ("a#b c", &["a#b", "c"]),
        (r#"defrag --rule "a > 0.8 || b""#, &["defrag", "--rule", "a > 0.8 || b"]),
        (r"--url 'http://*:2381'", &["--url", "http://*:2381"]),
        (r#"a'b c'"d e"\ f ''"#, &["ab cd e f", ""]),
        (r#""a\"b\\c\d""#, &[r#"a"b\c\d"#]),
        ("# nothing", &[]),
    ] {
        assert_eq!(split(line).unwrap(), words, "{line}");
    }
    for line in ["a | b", "a > b", "a $B", "a `b`", "http://*:1", "a \"$B\"", "a 'b", "a \"b", "a; b", "~/x"]
    {
        assert!(split(line).is_err(), "{line}");
    }
}

/// A shell agrees, where there is one that says how it reads a line.
#[test]
fn sh_splits_them_alike() {
    for line in [r#"a'b c'"d e"\ f '' "x\"y\\z\w""#, "a#b c # d", r#"--rule "dbQuotaUsage > 0.8 || x""#] {
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("printf '%s\\n' {line}")])
            .output()
            .unwrap();
        let theirs = String::from_utf8(output.stdout).unwrap();
        let ours = split(line).unwrap();
        assert_eq!(theirs.lines().collect::<Vec<_>>(), ours, "{line}");
    }
}

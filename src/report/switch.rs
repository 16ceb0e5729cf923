//! Versions of the same charts, one of which is shown: radio buttons and the page's style choose, without a script.

/// The most versions that the page's style knows.
const MOST: usize = 3;

/// Versions (name, charts) of the same charts, the first of which is shown until the reader chooses another. What is
/// empty is left out. `id` is no other switch's on the page.
pub(super) fn switch(id: &str, title: &str, versions: &[(&str, String)]) -> String {
    let there: Vec<_> = versions.iter().filter(|(_, charts)| !charts.is_empty()).take(MOST).collect();
    let (mut buttons, mut bodies) = (String::new(), String::new());
    for (n, (name, charts)) in there.iter().enumerate() {
        let checked = if n == 0 { " checked=\"checked\"" } else { "" };
        // The buttons stand before what they show, all in one element: that is what the style can follow.
        buttons += &format!(
            "<input type=\"radio\" class=\"pick p{n}\" id=\"{id}-by-{n}\" name=\"{id}-by\"{checked}/>\
             <label for=\"{id}-by-{n}\">{name}</label>"
        );
        bodies += &format!("<div class=\"charts v{n}\">{charts}</div>");
    }
    match there.len() {
        0 => String::new(),
        1 => bodies,
        _ => format!("<div class=\"switch\"><span class=\"muted\">{title}</span>{buttons}{bodies}</div>"),
    }
}

// The door knows one thing of the visitor: the time zone, so that times are theirs from the first page.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
for (const field of document.querySelectorAll("input[data-zone]")) field.value = zone;
for (const link of document.querySelectorAll("a[data-zone]")) link.href += `&zone=${encodeURIComponent(zone)}`;

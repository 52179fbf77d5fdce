// Web push: shows what it is told and leads there. It keeps nothing and answers no request.
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => {
  let told = {};
  try { told = event.data?.json() ?? {}; } catch { /* something must be shown all the same */ }
  const { title = "Rapport", body = "", path = "/notifications", tag = "rapport" } = told;
  event.waitUntil(self.registration.showNotification(title, {
    body, tag, renotify: true, data: { path }, icon: "/static/now/icon-192.png", badge: "/static/now/icon-192.png",
  }));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const url = new URL(event.notification.data?.path ?? "/notifications", self.location.origin);
  if (url.origin !== self.location.origin) return;
  event.waitUntil((async () => {
    const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    const open = windows.find((each) => "navigate" in each);
    if (!open) return self.clients.openWindow(url.href);
    await open.focus();
    return open.navigate(url.href).catch(() => self.clients.openWindow(url.href));
  })());
});

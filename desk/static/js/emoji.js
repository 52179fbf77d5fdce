// A small picker of emoji: those that people answer with, found by English and Chinese words.
import { word } from "./words.js";

const TABLE = `
😀 smile happy 笑 开心|😄 laugh happy 大笑|😁 grin 露齿|😂 tears laugh 笑哭|🤣 rolling laugh 笑翻|😊 blush smile 微笑 害羞|🙂 slight smile 微笑|😉 wink 眨眼|😍 love eyes 爱 喜欢|🥰 love hearts 爱|😘 kiss 亲|😋 yummy 好吃|😎 cool 酷|🤩 star wow 哇|🥳 party 庆祝|🤗 hug 拥抱
🤔 think hmm 思考|😅 sweat phew 汗|😇 angel 天使|😐 neutral 无语|🙄 eyes roll 白眼|😬 grimace 尴尬|😌 relieved 安心|😴 sleep 睡|😕 confused 困惑|😟 worried 担心|🙁 sad 难过|😢 cry 哭|😭 sob cry 大哭|😤 huff 生气|😡 angry 愤怒|😱 shock scream 惊恐
😮 surprise oh 惊讶|😳 flushed 脸红|🥺 please 拜托|😷 mask ill 口罩 生病|🤒 ill fever 发烧|🤝 handshake deal 握手 成交|👍 thumbs up good yes 赞 好|👎 thumbs down no 踩 不|👌 ok 好的|✌️ victory 胜利|🤞 luck fingers 祝好运|👏 clap 鼓掌|🙌 hooray hands 万岁|🙏 thanks please pray 谢谢 请|💪 strong 加油 强|👋 wave hello bye 你好 再见
👉 point right 指|👇 point down 下|☝️ point up 上|✍️ write 写|❤️ heart love 爱 心|🧡 orange heart 心|💛 yellow heart 心|💚 green heart 心|💙 blue heart 心|💜 purple heart 心|🖤 black heart 心|💔 broken heart 心碎|💯 hundred 满分|✨ sparkles 闪亮|⭐ star 星|🌟 glowing star 星
🔥 fire hot 火|🎉 party congrats 恭喜 庆祝|🎊 confetti 庆祝|🎁 gift present 礼物|🎂 cake birthday 蛋糕 生日|🏆 trophy 奖杯|🥇 gold first 金牌|💐 flowers 花|🌹 rose 玫瑰|🌸 blossom 樱花|🍀 luck clover 幸运|☀️ sun 太阳|🌧️ rain 雨|❄️ snow 雪|🌈 rainbow 彩虹|🌙 moon 月
☕ coffee tea 咖啡 茶|🍵 tea 茶|🧋 bubble tea 奶茶|🍺 beer 啤酒|🍷 wine 酒|🍰 cake 蛋糕|🍕 pizza 披萨|🍜 noodles 面|🍚 rice 米饭|🥟 dumpling 饺子|🍎 apple 苹果|🍓 strawberry 草莓|🥬 greens 青菜|🐶 dog 狗|🐱 cat 猫|🐼 panda 熊猫
📦 parcel package 包裹|🚚 delivery truck 送货 快递|✈️ plane 飞机|🚗 car 车|🏠 home house 家|🏪 shop store 商店|🛒 cart 购物车|🛍️ shopping bags 购物|💰 money 钱|💳 card pay 付款 卡|🧾 receipt 收据|🏷️ tag price 标签 价格|📅 calendar date 日历 日期|⏰ alarm time 闹钟 时间|⏳ wait hourglass 等待|⌛ time 时间
📞 phone call 电话|📱 mobile 手机|💻 laptop 电脑|📧 mail 邮件|✉️ letter 信|📷 photo camera 照片|🎥 video 视频|🎵 music 音乐|🔗 link 链接|📎 clip 附件|📝 note 备注|📍 place pin 地点|🗺️ map 地图|🔍 search 搜索|🔒 lock 锁|🔑 key 钥匙
✅ done check yes 完成|☑️ check 勾选|❌ no cross 错 不|❗ important 重要|❓ question 问题|⚠️ warning 警告|🚫 forbidden 禁止|🆗 ok 好|🆕 new 新|🔴 red 红|🟡 yellow 黄|🟢 green 绿|➡️ arrow right 箭头|⬆️ arrow up 上|🔄 again repeat 重复|🧧 red envelope 红包`;
const ALL = TABLE.trim().split(/[|\n]/).map((each) => {
  const [sign, ...words] = each.trim().split(" ");
  return { sign, words: words.join(" ") };
});

/** Open the picker at its button, or close it; `insert` gets what was chosen. */
export function pick(button, insert) {
  const open = document.querySelector(".emoji");
  if (open) return close(button, open);
  const box = document.createElement("div");
  box.className = "emoji";
  box.setAttribute("role", "dialog");
  box.setAttribute("aria-label", button.getAttribute("aria-label"));
  box.dataset.testid = "emoji-picker";
  const search = Object.assign(document.createElement("input"), { className: "input", type: "search", placeholder: word("emoji_search"), autocomplete: "off" });
  search.setAttribute("aria-label", word("emoji_search"));
  const list = document.createElement("div");
  list.className = "emoji-list";
  const show = () => {
    const wanted = search.value.trim().toLowerCase();
    list.replaceChildren(...ALL.filter((each) => each.words.includes(wanted)).map(({ sign, words }) => {
      const one = Object.assign(document.createElement("button"), { type: "button", textContent: sign, title: words });
      one.setAttribute("aria-label", words);
      one.addEventListener("click", () => { insert(sign); close(button, box); });
      return one;
    }));
  };
  search.addEventListener("input", (event) => { event.stopPropagation(); show(); });
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    list.firstElementChild?.click();
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { event.stopPropagation(); close(button, box); button.focus(); }
    const all = [...list.children];
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 8, ArrowUp: -8 }[event.key];
    const at = all.indexOf(document.activeElement);
    if (!step || (at < 0 && event.key !== "ArrowDown")) return;
    event.preventDefault();
    (all[at < 0 ? 0 : at + step] ?? (step < 0 ? search : all.at(-1)))?.focus();
  });
  box.append(search, list);
  show();
  button.parentElement.append(box);
  button.setAttribute("aria-expanded", "true");
  search.focus();
  setTimeout(() => document.addEventListener("click", function away(event) {
    if (box.contains(event.target) || !box.isConnected) return;
    document.removeEventListener("click", away);
    close(button, box);
  }));
}

function close(button, box) {
  box.remove();
  button.setAttribute("aria-expanded", "false");
}

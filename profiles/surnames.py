"""Chinese family names of one sign: they tell a name of two signs (王芳) from a word or a nickname (客户, 阿杰). Pure.

The three hundred most frequent ones, of nineteen in twenty people, with their traditional forms:
https://en.wikipedia.org/wiki/List_of_common_Chinese_surnames (read 2026-11-28).
"""

from __future__ import annotations

import re

SURNAMES = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾萧萧田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白"
    "邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤常温康施文牛樊葛邢安齐易乔伍庞颜倪庄聂章鲁岳翟殷詹申欧耿关兰焦俞左柳甘祝包"
    "宁尚符舒阮柯纪梅童凌毕单季裴霍涂成苗谷盛曲翁冉骆蓝路游辛靳欧管柴蒙鲍华喻祁蒲房滕屈饶解牟艾尤阳时穆农司卓古吉缪简车项连芦麦褚娄窦戚岑景党"
    "宫费卜冷晏席卫米柏宗瞿桂全佟应臧闵苟邬边卞姬师和仇栾隋商刁沙荣巫寇桑郎甄丛仲虞敖巩明佘池查麻苑迟邝"
    "張劉陳楊黃趙吳孫馬鄭謝許韓馮鄧蕭蔣葉蘇魏呂盧鍾譚陸賈韋鄒閆龍賀顧龔邵萬錢嚴湯齊喬龐顏莊聶魯歐關蘭紀畢單塗谷駱藍靳華饒簡車連麥婁竇黨費衛應閔"
    "鄔邊師榮叢鞏鄺"
)
_TWO_SIGNS = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]{2}")


def is_short_name(name: str) -> bool:
    """Whether it looks like somebody's whole name in two signs: a family name and one more."""
    return _TWO_SIGNS.fullmatch(name) is not None and name[0] in SURNAMES

"""The feeds of each platform, as it exports them, become products; what differs to the eye is a product of its own."""

import json

from tests.feeds.reading import read_text

SHOPIFY_CSV = """Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,Variant Price,Image Src,Image Position,Variant Image,Fabric (product.metafields.shopify.fabric),Google Shopping / Gender,Google Shopping / Age Group,Status
fjord-cardigan,Fjord Cardigan,"<p>Knit for <b>cold</b> mornings.</p>
<ul><li>Horn buttons</li></ul>",Nordlys,Apparel & Accessories > Clothing,Cardigans,"winter, knit",Color,Moss,Size,S,FC-M-S,59.00,https://cdn.example.com/all.jpg,1,https://cdn.example.com/moss.jpg,wool,female,adult,active
fjord-cardigan,,,,,,,,Moss,,M,FC-M-M,59.00,https://cdn.example.com/back.jpg,2,,,,,
fjord-cardigan,,,,,,,,Oat,,S,FC-O-S,59.00,,,,,,,
cast-kettle,Cast Kettle,,Nordlys,,Kettles,,Title,Default Title,,,CK,35.00,https://cdn.example.com/kettle.jpg,1,,,,,active
"""  # noqa: E501 - an export's lines are long


def test_shopify_csv_gives_a_product_for_each_colour_and_none_for_sizes() -> None:
    read = read_text(SHOPIFY_CSV)
    assert read.ids == ["fjord-cardigan:Moss", "fjord-cardigan:Oat", "cast-kettle"]
    moss, oat, kettle = read.products
    assert moss.name == oat.name == "Fjord Cardigan"
    assert moss.category == ("Apparel & Accessories > Clothing", "Cardigans")
    assert (moss.color, oat.color, moss.material) == (("Moss",), ("Oat",), ("wool",))
    assert (moss.gender, moss.age_group, moss.keywords) == (("female",), ("adult",), ("winter", "knit"))
    assert moss.brief == "Knit for cold mornings. Horn buttons"
    assert (moss.item_group_id, kettle.item_group_id) == ("fjord-cardigan", None)
    assert moss.attributes == {"Size": ("S", "M")}
    # The product's own picture shows one of the colours, and nobody knows which.
    assert (moss.image, oat.image) == ("https://cdn.example.com/moss.jpg", None)
    assert (kettle.image, kettle.color) == ("https://cdn.example.com/kettle.jpg", ())
    assert [variant["Variant SKU"] for variant in read.data[0]["variants"]] == ["FC-M-S", "FC-M-M"]
    assert (read.lines, read.told, list(read.notes.told())) == ([2, 2, 6], [], [])


SHOPIFY = {
    "id": 7001,
    "title": "Ridge Backpack &amp; Cover",
    "body_html": "<p>Rolls <em>up</em>.</p>",
    "vendor": "Nordlys",
    "product_type": "Backpacks",
    "tags": "hiking, rain",
    "options": [
        {"name": "Colour", "position": 1, "values": ["Black/White", "Rust"]},
        {"name": "Size", "position": 2, "values": ["20 l", "30 l"]},
    ],
    "variants": [
        {"id": 1, "title": "Black/White / 20 l", "option1": "Black/White", "option2": "20 l", "image_id": 91},
        {"id": 2, "title": "Black/White / 30 l", "option1": "Black/White", "option2": "30 l", "image_id": None},
        {"id": 3, "title": "Rust / 20 l", "option1": "Rust", "option2": "20 l", "image_id": None},
    ],
    "images": [{"id": 91, "src": "https://cdn.example.com/bw.jpg"}, {"id": 92, "src": "https://cdn.example.com/r.jpg"}],
    "image": {"id": 91, "src": "https://cdn.example.com/bw.jpg"},
}


def test_shopify_json_in_its_wrapper_gives_the_same() -> None:
    for text in (json.dumps({"products": [SHOPIFY]}), json.dumps([SHOPIFY], indent=1), json.dumps(SHOPIFY)):
        read = read_text(text)
        assert read.ids == ["7001:Black/White", "7001:Rust"], text[:40]
        both, rust = read.products
        assert (both.name, both.brief, both.category) == ("Ridge Backpack & Cover", "Rolls up.", ("Backpacks",))
        assert (both.color, both.item_group_id) == (("Black/White",), "7001")
        assert (both.image, rust.image) == ("https://cdn.example.com/bw.jpg", None)
        assert [variant["id"] for variant in read.data[1]["variants"]] == [3]


def test_shopify_products_that_differ_in_size_alone_stay_one() -> None:
    sizes = [{"id": n, "option1": size} for n, size in enumerate(("S", "M"))]
    read = read_text(json.dumps({**SHOPIFY, "options": [{"name": "Size"}], "variants": sizes}))
    assert (read.ids, read.products[0].attributes) == (["7001"], {"Size": ("S", "M")})
    assert read.products[0].image == "https://cdn.example.com/bw.jpg"


def test_an_option_that_is_not_known_makes_no_variants_and_is_told() -> None:
    read = read_text("Handle,Title,Option1 Name,Option1 Value\nrope,Skipping Rope,Handle shape,Round\nrope,,,Flat\n")
    assert (read.ids, read.products[0].attributes) == (["rope"], {"Handle shape": ("Round", "Flat")})
    assert "option Handle shape (1 row)" in next(read.notes.told())


def test_shopify_graphql_names_its_options_beside_the_variant() -> None:
    node = {
        "id": "gid://shopify/Product/5",
        "title": "Bowl",
        "descriptionHtml": "<p>Wide.</p>",
        "productType": "Bowls",
        "variants": {
            "edges": [
                {"node": {"id": n, "selectedOptions": [{"name": "Material", "value": material}]}}
                for n, material in enumerate(("Oak", "Olive wood"))
            ]
        },
    }
    read = read_text(json.dumps(node))
    assert [product.material for product in read.products] == [("Oak",), ("Olive wood",)]
    assert read.ids[0] == "gid://shopify/Product/5:Oak"


WOO = {
    "id": 812,
    "name": "Sailor Jacket",
    "type": "variable",
    "description": "<p>Windproof.</p>\n",
    "short_description": "",
    "categories": [{"id": 4, "name": "Clothing", "slug": "clothing"}, {"id": 9, "name": "Jackets", "slug": "jackets"}],
    "tags": [{"id": 2, "name": "harbour"}],
    "images": [{"id": 1, "src": "https://shop.example.com/1.jpg"}, {"id": 2, "src": "https://shop.example.com/2.jpg"}],
    "attributes": [
        {"id": 1, "name": "Material", "options": ["Waxed cotton"], "variation": False},
        {"id": 0, "name": "Size", "options": ["S", "M"], "variation": True},
    ],
}


def test_woocommerce_products_are_read_from_its_rest_answers() -> None:
    (product,) = read_text(json.dumps([WOO])).products
    assert (product.category, product.keywords, product.brief) == (("Clothing", "Jackets"), ("harbour",), "Windproof.")
    assert product.image == "https://shop.example.com/1.jpg"
    assert product.attributes == {"Material": ("Waxed cotton",), "Size": ("S", "M")}


def test_woocommerce_attributes_to_choose_by_make_variants() -> None:
    colours = {"name": "Color", "options": ["Navy", "Yellow"], "variation": True}
    read = read_text(json.dumps({**WOO, "attributes": [*WOO["attributes"], colours]}))  # type: ignore[misc]
    assert read.ids == ["812:Navy", "812:Yellow"]
    assert [product.color for product in read.products] == [("Navy",), ("Yellow",)]
    assert read.products[0].attributes["Material"] == ("Waxed cotton",)


WOO_CSV = """ID,Type,SKU,Name,Published,"Short description",Description,"Regular price",Categories,Tags,Images,Parent,"Attribute 1 name","Attribute 1 value(s)","Attribute 1 visible","Attribute 2 name","Attribute 2 value(s)"
40,variable,HAT,"Pier Hat",1,,"Soft, <b>warm</b>",,"Clothing > Hats, New","sea, wool","https://s.example.com/a.jpg, https://s.example.com/b.jpg",,Color,"Grey, Red",1,Material,Wool
41,variation,HAT-G,"Pier Hat - Grey",1,,,19,,,,id:40,Color,Grey,,,
42,variation,HAT-R,"Pier Hat - Red",1,,,19,,,,HAT,pa_color,Red,,,
50,simple,CUP,"Dock Cup",1,,,9,"Mugs \\, Cups",,,,,,,,
"""  # noqa: E501 - an export's lines are long


def test_woocommerce_csv_keeps_every_rows_id_and_variations_take_what_they_lack_from_their_parent() -> None:
    read = read_text(WOO_CSV)
    assert read.ids == ["40", "41", "42", "50"]
    parent, grey, red, cup = read.products
    assert parent.category == grey.category == red.category == ("Clothing > Hats", "New")
    assert grey.attributes == {"Color": ("Grey",), "Material": ("Wool",)}
    assert red.attributes["color"] == ("Red",)
    assert (grey.item_group_id, parent.image, grey.image) == ("40", "https://s.example.com/a.jpg", None)
    assert (cup.category, cup.attributes) == (("Mugs , Cups",), {})
    assert (read.data[0]["SKU"], list(read.notes.told())) == ("HAT", [])


def test_google_merchants_tsv_knows_no_quotes() -> None:
    read = read_text(
        "id\ttitle\tdescription\tgoogle_product_category\tproduct_type\tcolor\tpattern\tgender\tage_group\t"
        "image_link\tadditional_image_link\titem_group_id\tsize\tprice\n"
        'G-1\t"Gale" Parka\t27" long\tApparel & Accessories > Clothing > Outerwear\tCoats\tBlack/Red\tplaid\tmale\tkids'
        "\thttps://s.example.com/1.jpg\thttps://s.example.com/2.jpg\tGALE\t116\t80 EUR\n"
        "G-2\tGale Parka\t\t2271\t\tBlack\t\tfemale\tadult\t\t\tGALE\tM\t80 EUR\n"
    )
    first, second = read.products
    assert (read.ids, first.name, second.category) == (["G-1", "G-2"], '"Gale" Parka', ())
    assert first.category == ("Apparel & Accessories > Clothing > Outerwear", "Coats")
    assert (first.color, first.attributes) == (("Black/Red",), {"pattern": ("plaid",)})
    assert (first.gender, first.age_group, first.item_group_id) == (("male",), ("kids",), "GALE")
    assert (first.image, read.data[0]["additional_image_link"]) == (
        "https://s.example.com/1.jpg",
        "https://s.example.com/2.jpg",
    )
    assert any("google_product_category, by number" in line for line in read.notes.told())


def test_chinese_heads_are_known_in_utf_16_and_in_gb18030() -> None:
    rows = [
        ["商品ID", "商品名称", "颜色分类", "材质", "类目", "图案", "适用性别", "主图", "销售属性", "一口价", "品牌"],
        [
            "88001",
            "折叠收纳凳",
            "墨绿色",
            "帆布",
            "家居/收纳",
            "格子",
            "女",
            "https://s.example.com/1.jpg",
            "承重:80kg;产地:宁波",
            "39",
            "某牌",
        ],
        ["88002", "搪瓷口杯", "奶白色", "搪瓷", "杯壶", "", "", "", "", "19", "某牌"],
    ]
    for encoding, delimiter in (("utf-16", "\t"), ("utf-16-le", "\t"), ("gb18030", ","), ("utf-8-sig", ",")):
        text = "\r\n".join(delimiter.join(cells) for cells in rows)
        read = read_text(text, encoding=encoding)
        stool, cup = read.products
        assert (read.ids, stool.name, cup.name) == (["88001", "88002"], "折叠收纳凳", "搪瓷口杯"), encoding
        assert (stool.color, stool.material, stool.category) == (("墨绿色",), ("帆布",), ("家居/收纳",))
        assert (stool.gender, stool.image) == (("女",), "https://s.example.com/1.jpg")
        assert stool.attributes == {"pattern": ("格子",), "承重": ("80kg",), "产地": ("宁波",)}
        assert (read.told, list(read.notes.told())) == ([], [])


def test_taobao_writes_a_version_and_two_rows_of_heads() -> None:
    read = read_text(
        "version 1.00\r\ntitle\tcid\tstuff_status\tprice\tnum\tdescription\tpicture\tnum_id\touter_id\r\n"
        "宝贝名称\t宝贝类目\t新旧程度\t宝贝价格\t宝贝数量\t宝贝描述\t新图片\t数字ID\t商家编码\r\n"
        '"竹编果盘"\t50001\t1\t25\t9\t"<p>手工<br/>编织</p>"\t\t0\tZB-7\r\n',
        encoding="utf-16",
    )
    (tray,) = read.products
    assert (tray.product_id, tray.name, tray.brief, tray.category) == ("ZB-7", "竹编果盘", "手工 编织", ())


def test_plain_tables_and_lines_need_an_id_and_a_title() -> None:
    assert read_text("sku,title\nA-1,Tin Mug\n").products == read_text('{"sku": "A-1", "title": "Tin Mug"}').products


def test_names_of_any_make_are_read() -> None:
    lines = [{"id": 1, "name": 1984}, {"id": 2, "title": ["Jug"]}, {"id": 3, "title": "<b></b>"}]
    read = read_text("\n".join(map(json.dumps, lines)))
    assert [product.name for product in read.products] == ["1984", "Jug", "<b></b>"]


def test_an_id_of_0_counts_where_there_is_no_other() -> None:
    assert read_text("id,sku,title,parent\n0,A-1,Mug,0\n0,,Cup,\n").ids == ["A-1", "0"]
    assert read_text("id,title,parent\n7,Mug,0\n").products[0].item_group_id is None


def test_what_is_a_product_already_is_sent_as_it_is_written() -> None:
    line = '{"id": 3,  "name": "杯", "sku": "x", "price": 9.90, "color": ["红", {"name": "蓝"}], "image": ["a", "b"]}'
    assert read_text(line).data == [json.loads(line)]
    assert list(read_text(line).notes.told()) == []


def test_what_is_not_understood_is_kept_and_told_once() -> None:
    read = read_text("id,title,Lagerort,Charge\n1,Mug,A,x\n2,Cup,B,\n")
    assert read.data[0]["Lagerort"] == "A"
    (told,) = read.notes.told()
    assert told.startswith("feed: not understood, and kept as it is: Lagerort (2 rows), Charge (1 row); ")
